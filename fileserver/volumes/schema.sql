-- What a file server knows besides its volumes. Times are nanoseconds since 1970 UTC.

CREATE TABLE server(
  only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
  clean INTEGER NOT NULL,          -- it was stopped in order
  longest_lease INTEGER NOT NULL   -- ever granted, in milliseconds
) STRICT;
INSERT INTO server(only_row, clean, longest_lease) VALUES (1, 1, 0);

CREATE TABLE volume(
  id INTEGER PRIMARY KEY,          -- below 2^24, random, never given again
  stage INTEGER NOT NULL,          -- 1 being made, 2 there, 3 being deleted, 4 gone
  name TEXT UNIQUE,                -- NULL: gone
  uuid BLOB NOT NULL,
  is_root INTEGER NOT NULL,        -- of the cell's tree
  sealed INTEGER NOT NULL,
  write_conflict INTEGER NOT NULL, -- 0 the last wins, 1 refuse
  close_level INTEGER NOT NULL,    -- 0 committed, 1 stable
  attached_volume INTEGER,         -- the directory on which it lies; NULL: nowhere
  attached_node INTEGER,
  created INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX one_root ON volume(is_root) WHERE is_root = 1;
CREATE UNIQUE INDEX one_attachment ON volume(attached_volume, attached_node)
  WHERE attached_volume IS NOT NULL;

-- Whom a policy names.
CREATE TABLE policy_principal(
  volume INTEGER NOT NULL,
  role INTEGER NOT NULL,           -- 1 a trusted host, 2 an administrator
  principal INTEGER NOT NULL,
  PRIMARY KEY (volume, role, principal)
) STRICT, WITHOUT ROWID;

-- Who may hold promises, for a life of the server that begins after a crash.
CREATE TABLE session(
  id INTEGER PRIMARY KEY,
  mount BLOB NOT NULL,
  opener INTEGER NOT NULL,
  opener_name TEXT NOT NULL,
  key BLOB NOT NULL,               -- what its connections are proved with
  lease INTEGER NOT NULL,          -- milliseconds
  opened INTEGER NOT NULL
) STRICT;

-- A mount belongs to who opened it first.
CREATE TABLE mount(
  id BLOB PRIMARY KEY,
  owner INTEGER NOT NULL,
  seen INTEGER NOT NULL            -- when a session of it was opened last
) STRICT, WITHOUT ROWID;
CREATE INDEX mount_by_age ON mount(seen);

-- Node ids that are a mount's to give (R29), across its sessions: its newest ranges.
CREATE TABLE node_range(
  mount BLOB NOT NULL,
  volume INTEGER NOT NULL,
  first INTEGER NOT NULL,
  count INTEGER NOT NULL,
  PRIMARY KEY (mount, volume, first)
) STRICT, WITHOUT ROWID;
