#pragma once

// The judgement of an operation by its name: for `whynot`.

#include "fileserver/access/judge.hpp"

namespace fileserver::access {

// What the call is about, as far as it named it and the caller may look: a node, and the directory
// that it was named in.
struct Subject {
  const Attributes* node = nullptr;
  const Attributes* directory = nullptr;
};

// `operation`: one of PROTOCOL.md 3, or read, write, execute, search, chmod, chown, truncate, lock.
// InvalidArgument: none of them, or it needs a subject that was not given.
[[nodiscard]] Result<Verdict> judge_by_name(Judge& judge, std::string_view operation,
                                            const Subject& subject);

}  // namespace fileserver::access
