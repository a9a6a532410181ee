$inviter invites you to $purpose

$inviter invites you to $purpose.
$note
Open this link in your browser. $how

$link

The link is valid until $until. It is meant for you alone.
