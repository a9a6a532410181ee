-- The tables that kamailio.cfg reads. Make the file once:  sqlite3 kamailio.db < schema.sql
--
-- auth_db refuses to start without the `version` row of a table that it uses.
-- WAL lets the gateway insert accounts while Kamailio reads; without it a writer makes every authentication fail.
PRAGMA journal_mode = WAL;

CREATE TABLE IF NOT EXISTS version (
    table_name    TEXT PRIMARY KEY NOT NULL,
    table_version INTEGER NOT NULL DEFAULT 0
);
INSERT OR IGNORE INTO version (table_name, table_version) VALUES ('version', 1), ('subscriber', 7);

-- One row an account. Names and meaning are those of every Kamailio; only `impus` is ours, and may stay empty.
CREATE TABLE IF NOT EXISTS subscriber (
    id       INTEGER PRIMARY KEY NOT NULL,
    username TEXT NOT NULL DEFAULT '',   -- private identity without its domain
    domain   TEXT NOT NULL DEFAULT '',   -- realm of the digest and domain of the account
    password TEXT NOT NULL DEFAULT '',   -- not read: hashes are enough; the gateway marks its rows here
    ha1      TEXT NOT NULL DEFAULT '',   -- H(username:realm:password)
    ha1b     TEXT NOT NULL DEFAULT '',   -- H(username@domain:realm:password), for clients that send user@domain
    impus    TEXT NOT NULL DEFAULT '',   -- public identities, comma-separated; empty: sip:username@domain
    UNIQUE (username, domain)
);
