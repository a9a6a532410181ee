-- For the subscriber table that comes with Kamailio, in MySQL, MariaDB or PostgreSQL: the public identities of an account,
-- comma-separated, which kamailio.cfg reads; empty: sip:username@domain.  Run it after standard and auth_db of kamdbctl.
ALTER TABLE subscriber ADD COLUMN impus VARCHAR(512) NOT NULL DEFAULT '';
