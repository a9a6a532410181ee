$inviter 邀请您$purpose

$inviter 邀请您$purpose。
$note
请在浏览器中打开以下链接。$how

$link

链接有效期至$until，仅供您本人使用。
