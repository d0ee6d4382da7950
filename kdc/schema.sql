-- The KDC's database. Every key is sealed (master_key.hpp); times are milliseconds since 1970 UTC.
-- Tables are dumped and compared by the list in dump.cpp: a new table belongs there, too.

-- One row, from the first contents on.
CREATE TABLE cell(
  only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
  id TEXT NOT NULL,
  created INTEGER NOT NULL,
  next_id INTEGER NOT NULL,
  directory INTEGER NOT NULL,      -- version of what groups and disabled flags say
  forgotten INTEGER NOT NULL,      -- directory_change holds all versions above this one
  master INTEGER NOT NULL,         -- the master key that seals what is written now
  anchor_seq INTEGER NOT NULL,     -- the last record that was trimmed from the audit log
  anchor_hash BLOB NOT NULL,
  head_seq INTEGER NOT NULL,       -- its newest record
  head_hash BLOB NOT NULL
) STRICT;

-- Master keys that may seal rows; the keys themselves are in the stash file.
CREATE TABLE master(
  version INTEGER PRIMARY KEY,
  fingerprint BLOB NOT NULL
) STRICT;

-- Every id that was ever given out. Nothing is deleted here.
CREATE TABLE used_id(id INTEGER PRIMARY KEY) STRICT;

CREATE TABLE principal(
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  kind INTEGER NOT NULL,
  disabled INTEGER NOT NULL,
  kvno INTEGER NOT NULL,           -- the key in use; 0: none
  last_kvno INTEGER NOT NULL,      -- the highest that was ever given
  password_end INTEGER NOT NULL,   -- 0: never
  policy TEXT NOT NULL,            -- '': the default of its kind
  created INTEGER NOT NULL,
  changed INTEGER NOT NULL
) STRICT;
CREATE INDEX principal_by_policy ON principal(policy) WHERE policy <> '';

-- Principal 0 holds the database's own secret.
CREATE TABLE key(
  principal INTEGER NOT NULL,
  kvno INTEGER NOT NULL,
  purpose INTEGER NOT NULL,        -- keys.hpp
  state INTEGER NOT NULL,
  not_after INTEGER NOT NULL,      -- then it is destroyed; 0: no end
  created INTEGER NOT NULL,
  salt BLOB NOT NULL,              -- of a password; empty for random keys
  log2_n INTEGER NOT NULL,
  r INTEGER NOT NULL,
  p INTEGER NOT NULL,
  master INTEGER NOT NULL,
  sealed BLOB NOT NULL,
  PRIMARY KEY (principal, kvno)
) STRICT, WITHOUT ROWID;
CREATE INDEX key_by_master ON key(master);
CREATE INDEX key_by_end ON key(not_after) WHERE not_after > 0;
-- Users' keys in use. The second migration (database.cpp) has another index in place of this.
CREATE INDEX key_of_users ON key(principal) WHERE purpose = 1 AND state = 1;

CREATE TABLE user_group(
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  owner INTEGER NOT NULL,
  created INTEGER NOT NULL,
  changed INTEGER NOT NULL
) STRICT;
CREATE INDEX group_by_owner ON user_group(owner);

-- `member` is a principal or a group.
CREATE TABLE membership(
  member INTEGER NOT NULL,
  in_group INTEGER NOT NULL,
  PRIMARY KEY (member, in_group)
) STRICT, WITHOUT ROWID;
CREATE INDEX members_of_group ON membership(in_group, member);

-- Whose groups or disabled flag changed with a version; principal 0: anybody's.
CREATE TABLE directory_change(
  version INTEGER NOT NULL,
  principal INTEGER NOT NULL,
  PRIMARY KEY (version, principal)
) STRICT, WITHOUT ROWID;

CREATE TABLE policy(
  name TEXT PRIMARY KEY,           -- 'user', 'service', 'host' are the defaults
  ticket_life INTEGER NOT NULL,
  renewable_life INTEGER NOT NULL,
  min_length INTEGER NOT NULL,
  min_classes INTEGER NOT NULL,
  history INTEGER NOT NULL,
  max_age INTEGER NOT NULL         -- 0: no end
) STRICT, WITHOUT ROWID;

-- Counters of guesses, under a keyed hash of what they count (attempts.hpp).
CREATE TABLE attempt(
  key BLOB PRIMARY KEY,
  kind INTEGER NOT NULL,
  credit INTEGER NOT NULL,
  updated INTEGER NOT NULL,
  streak INTEGER NOT NULL,
  wait_until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
-- A name and an address that has logged it in.
CREATE TABLE known_source(
  key BLOB PRIMARY KEY,
  succeeded INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE audit(
  seq INTEGER PRIMARY KEY,
  at INTEGER NOT NULL,
  event TEXT NOT NULL,
  actor INTEGER NOT NULL,
  actor_name TEXT NOT NULL,
  subject TEXT NOT NULL,
  source TEXT NOT NULL,
  outcome TEXT NOT NULL,
  times INTEGER NOT NULL,
  details TEXT NOT NULL,
  hash BLOB NOT NULL
) STRICT;

-- Requests that were carried out, for their repetitions.
CREATE TABLE operation(
  id BLOB PRIMARY KEY,
  request BLOB NOT NULL,
  result INTEGER NOT NULL,
  at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX operation_by_age ON operation(at);
