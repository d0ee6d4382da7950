#pragma once

// What troth-kdc does instead of serving: --dump and --load. Whoever calls has locked the data
// directory. Each returns one line for whoever typed the command.

#include <string>

#include "kdc/database.hpp"

namespace kdc {

// Everything that is in the database, into a new private file: whole, or not there. Recorded in the
// audit log. NotFound if there is no database yet, AlreadyExists if there is such a file.
common::Result<std::string> dump_to_file(const DatabaseOptions& options, const std::string& file,
                                         const common::Clock& clock);

// The database of a dump, in a directory that has none but the master keys of its time; all or
// nothing, so that what was stopped is begun again. Then checks the chain of the audit log, and
// records itself in it. A dump says who the administrators are: PermissionDenied if anybody else
// could have written the file. Corrupt after it was loaded: the chain was broken when it was made.
common::Result<std::string> load_from_file(const DatabaseOptions& options, const std::string& file,
                                           const common::Clock& clock);

}  // namespace kdc
