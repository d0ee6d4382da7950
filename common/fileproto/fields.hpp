#pragma once

// A message's fields are said once, as `template <typename F> void fields(F& f, Message& m)`, and
// carried out twice: by a FieldWriter, which only looks at the message, and by a FieldReader. For
// the sources of this folder only.
//
//   number optional defaulted  whole numbers and ids: required; absent if none; if the default
//   flag one                   true, or 1; absent if false
//   fid name bytes text hex word letters   see each
//   object optional_object list tuple      with fields() or a function for what is inside

#include "common/fileproto/field_reader.hpp"
#include "common/fileproto/field_writer.hpp"
