-- What common/db keeps in every database, in one row. `commits` counts transactions and is compared
-- with the stable mark when the database is opened.
CREATE TABLE troth_database(
  only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
  id INTEGER NOT NULL,
  commits INTEGER NOT NULL
) STRICT;
