-- A volume's metadata. `from_seq` and `to_seq` are commits: a history row was true in
-- [from_seq, to_seq). Times are nanoseconds since 1970. What the tables are for: STORE.md 3.

-- This copy of the volume. One row.
CREATE TABLE volume(
  only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
  uuid BLOB NOT NULL,
  id INTEGER NOT NULL,
  created INTEGER NOT NULL,
  format INTEGER NOT NULL,         -- of segments and records
  sealed BLOB,                     -- proof of the volume key; NULL: not sealed
  epoch INTEGER NOT NULL,
  reserved_seq INTEGER NOT NULL,   -- no seq above it has been given
  reserved_node INTEGER NOT NULL,  -- nor a node id
  last_segment INTEGER NOT NULL,   -- no block was ever indexed in one above it
  floor INTEGER NOT NULL,          -- all seqs from here on can be read
  follows INTEGER NOT NULL,        -- a copy of another that commits; it only redoes records
  boot BLOB NOT NULL,              -- the machine's boot id when it was opened last
  clean INTEGER NOT NULL           -- it was closed in order
) STRICT;

CREATE TABLE setting(
  key TEXT PRIMARY KEY,
  value BLOB NOT NULL,
  from_seq INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE setting_history(
  key TEXT NOT NULL,
  to_seq INTEGER NOT NULL,
  from_seq INTEGER NOT NULL,
  value BLOB NOT NULL,
  PRIMARY KEY (key, to_seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE commits(
  seq INTEGER PRIMARY KEY,
  epoch INTEGER NOT NULL,
  time INTEGER NOT NULL,           -- never less than the one before
  principal INTEGER NOT NULL,
  session INTEGER NOT NULL,
  client INTEGER,                  -- of the operation key; NULL: none
  number INTEGER,
  nodes INTEGER NOT NULL,          -- in the volume after this commit
  bytes INTEGER NOT NULL,          -- allocated after this commit
  operations BLOB NOT NULL         -- operation_codec.cpp, without tails
) STRICT;
CREATE UNIQUE INDEX commit_by_key ON commits(client, number) WHERE client IS NOT NULL;

CREATE TABLE client(
  id INTEGER PRIMARY KEY,          -- in order of first appearance
  mount BLOB NOT NULL UNIQUE,
  forgotten INTEGER NOT NULL       -- no number up to this one is executed any more
) STRICT;

CREATE TABLE node(
  id INTEGER PRIMARY KEY,
  from_seq INTEGER NOT NULL,
  data_seq INTEGER,                -- NULL: from_seq
  kind INTEGER NOT NULL,
  mode INTEGER NOT NULL,
  uid INTEGER NOT NULL,
  gid INTEGER NOT NULL,
  links INTEGER NOT NULL,
  size INTEGER NOT NULL,
  allocated INTEGER,               -- NULL: size
  mtime INTEGER NOT NULL,
  ctime INTEGER,                   -- NULL: mtime
  atime INTEGER,                   -- NULL: mtime
  home INTEGER NOT NULL,
  device INTEGER,                  -- NULL: 0
  root BLOB,                       -- NULL: nothing but holes
  tail INTEGER                     -- content.id; NULL: none
) STRICT;
CREATE TABLE node_history(
  id INTEGER NOT NULL,
  to_seq INTEGER NOT NULL,
  from_seq INTEGER NOT NULL,
  data_seq INTEGER,
  kind INTEGER NOT NULL,
  mode INTEGER NOT NULL,
  uid INTEGER NOT NULL,
  gid INTEGER NOT NULL,
  links INTEGER NOT NULL,
  size INTEGER NOT NULL,
  allocated INTEGER,
  mtime INTEGER NOT NULL,
  ctime INTEGER,
  atime INTEGER,
  home INTEGER NOT NULL,
  device INTEGER,
  root BLOB,
  tail INTEGER,
  PRIMARY KEY (id, to_seq)
) STRICT, WITHOUT ROWID;

-- A directory whose entries changed in a commit that did not write its node row.
CREATE TABLE touched(
  directory INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  links INTEGER NOT NULL,
  time INTEGER NOT NULL,
  PRIMARY KEY (directory, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE dirent(
  parent INTEGER NOT NULL,
  name BLOB NOT NULL,
  child INTEGER NOT NULL,
  kind INTEGER NOT NULL,
  from_seq INTEGER NOT NULL,
  PRIMARY KEY (parent, name)
) STRICT, WITHOUT ROWID;
CREATE TABLE dirent_history(
  parent INTEGER NOT NULL,
  name BLOB NOT NULL,
  to_seq INTEGER NOT NULL,
  from_seq INTEGER NOT NULL,
  child INTEGER NOT NULL,
  kind INTEGER NOT NULL,
  PRIMARY KEY (parent, name, to_seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE xattr(
  node INTEGER NOT NULL,
  name BLOB NOT NULL,
  value BLOB NOT NULL,
  from_seq INTEGER NOT NULL,
  PRIMARY KEY (node, name)
) STRICT, WITHOUT ROWID;
CREATE TABLE xattr_history(
  node INTEGER NOT NULL,
  name BLOB NOT NULL,
  to_seq INTEGER NOT NULL,
  from_seq INTEGER NOT NULL,
  value BLOB NOT NULL,
  PRIMARY KEY (node, name, to_seq)
) STRICT, WITHOUT ROWID;

-- Tails of files and targets of symlinks.
CREATE TABLE content(
  id INTEGER PRIMARY KEY,          -- seq * 4096 + position of the operation in its commit
  bytes BLOB NOT NULL              -- sealed in a sealed volume
) STRICT;

-- Where the links of a node are, while it has more than one.
CREATE TABLE hard_link(
  node INTEGER NOT NULL,
  directory INTEGER NOT NULL,
  links INTEGER NOT NULL,
  from_seq INTEGER NOT NULL,
  PRIMARY KEY (node, directory)
) STRICT, WITHOUT ROWID;
CREATE TABLE hard_link_history(
  node INTEGER NOT NULL,
  directory INTEGER NOT NULL,
  to_seq INTEGER NOT NULL,
  from_seq INTEGER NOT NULL,
  links INTEGER NOT NULL,
  PRIMARY KEY (node, directory, to_seq)
) STRICT, WITHOUT ROWID;

-- Nodes without a name that somebody holds open.
CREATE TABLE orphan(node INTEGER PRIMARY KEY) STRICT;

CREATE TABLE snapshot(
  name TEXT NOT NULL,
  from_seq INTEGER NOT NULL,       -- the commit that made it
  to_seq INTEGER,                  -- the one that deleted it; NULL: none
  seq INTEGER NOT NULL,            -- what it shows
  time INTEGER NOT NULL,           -- when it was made
  PRIMARY KEY (name, from_seq)
) STRICT, WITHOUT ROWID;

-- Fencing: the smallest token that may still store to a range of a node.
CREATE TABLE fence(
  node INTEGER NOT NULL,
  first INTEGER NOT NULL,
  last INTEGER NOT NULL,           -- inclusive
  token INTEGER NOT NULL,
  from_seq INTEGER NOT NULL,
  PRIMARY KEY (node, first, last)
) STRICT, WITHOUT ROWID;

-- Where blocks are. Can be rebuilt from the segments.
CREATE TABLE block(
  name BLOB PRIMARY KEY,
  segment INTEGER NOT NULL,
  offset INTEGER NOT NULL,
  length INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE quarantine(
  name BLOB PRIMARY KEY,
  found INTEGER NOT NULL,
  segment INTEGER NOT NULL,
  offset INTEGER NOT NULL,
  length INTEGER NOT NULL,
  why TEXT NOT NULL
) STRICT, WITHOUT ROWID;
-- Blocks that came with a commit which may not be stable yet: name (32), segment, offset, length (4 each).
CREATE TABLE unsynced(
  seq INTEGER PRIMARY KEY,
  number INTEGER NOT NULL,         -- of the database transaction
  blocks BLOB NOT NULL
) STRICT;

-- What sessions hold.
CREATE TABLE pin(
  session INTEGER NOT NULL,
  node INTEGER NOT NULL,
  seq INTEGER NOT NULL,            -- the version that stays readable
  count INTEGER NOT NULL,
  PRIMARY KEY (session, node, seq)
) STRICT, WITHOUT ROWID;
CREATE INDEX pin_by_node ON pin(node, seq);
-- Nodes that a mount keeps although they have no name, whatever becomes of its sessions.
CREATE TABLE keeper(
  node INTEGER NOT NULL,
  mount BLOB NOT NULL,
  until INTEGER NOT NULL,
  PRIMARY KEY (node, mount)
) STRICT, WITHOUT ROWID;
CREATE TABLE reservation(
  session INTEGER PRIMARY KEY,
  nodes INTEGER NOT NULL,
  bytes INTEGER NOT NULL
) STRICT;
