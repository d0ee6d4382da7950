#include "common/result.hpp"

#include <array>
#include <cerrno>
#include <system_error>

namespace common {
namespace {

struct CodeName {
  ErrorCode code;
  std::string_view name;
};

constexpr std::array kCodeNames{
    CodeName{ErrorCode::InvalidArgument, "invalid_argument"},
    CodeName{ErrorCode::NotFound, "not_found"},
    CodeName{ErrorCode::AlreadyExists, "already_exists"},
    CodeName{ErrorCode::PermissionDenied, "permission_denied"},
    CodeName{ErrorCode::Unauthenticated, "unauthenticated"},
    CodeName{ErrorCode::Expired, "expired"},
    CodeName{ErrorCode::Conflict, "conflict"},
    CodeName{ErrorCode::Stale, "stale"},
    CodeName{ErrorCode::Deadlock, "deadlock"},
    CodeName{ErrorCode::Unavailable, "unavailable"},
    CodeName{ErrorCode::OutcomeUnknown, "outcome_unknown"},
    CodeName{ErrorCode::DeadlineExceeded, "deadline_exceeded"},
    CodeName{ErrorCode::Cancelled, "cancelled"},
    CodeName{ErrorCode::Overloaded, "overloaded"},
    CodeName{ErrorCode::ResourceExhausted, "resource_exhausted"},
    CodeName{ErrorCode::NoSpace, "no_space"},
    CodeName{ErrorCode::TooLarge, "too_large"},
    CodeName{ErrorCode::Busy, "busy"},
    CodeName{ErrorCode::Corrupt, "corrupt"},
    CodeName{ErrorCode::IoError, "io_error"},
    CodeName{ErrorCode::Protocol, "protocol"},
    CodeName{ErrorCode::Unsupported, "unsupported"},
    CodeName{ErrorCode::Internal, "internal"},
};

// The table is indexed by the code, so a code without a name does not compile.
constexpr bool table_is_complete() {
  for (std::size_t i = 0; i < kCodeNames.size(); ++i) {
    if (static_cast<std::size_t>(kCodeNames[i].code) != i)
      return false;
  }
  return kCodeNames.size() == static_cast<std::size_t>(ErrorCode::Internal) + 1;
}
static_assert(table_is_complete());

struct ErrnoName {
  int number;
  std::string_view name;
};

// What operations on files may end in, as far as the code does not say it.
constexpr std::array kErrnoNames{
    ErrnoName{EPERM, "EPERM"},
    ErrnoName{ENOENT, "ENOENT"},
    ErrnoName{EIO, "EIO"},
    ErrnoName{ENXIO, "ENXIO"},
    ErrnoName{EACCES, "EACCES"},
    ErrnoName{EBUSY, "EBUSY"},
    ErrnoName{EEXIST, "EEXIST"},
    ErrnoName{EXDEV, "EXDEV"},
    ErrnoName{ENOTDIR, "ENOTDIR"},
    ErrnoName{EISDIR, "EISDIR"},
    ErrnoName{EINVAL, "EINVAL"},
    ErrnoName{ETXTBSY, "ETXTBSY"},
    ErrnoName{EFBIG, "EFBIG"},
    ErrnoName{ENOSPC, "ENOSPC"},
    ErrnoName{EROFS, "EROFS"},
    ErrnoName{EMLINK, "EMLINK"},
    ErrnoName{ERANGE, "ERANGE"},
    ErrnoName{EDEADLK, "EDEADLK"},
    ErrnoName{ENAMETOOLONG, "ENAMETOOLONG"},
    ErrnoName{ENOLCK, "ENOLCK"},
    ErrnoName{ENOTEMPTY, "ENOTEMPTY"},
    ErrnoName{ELOOP, "ELOOP"},
    ErrnoName{ENODATA, "ENODATA"},
    ErrnoName{EOVERFLOW, "EOVERFLOW"},
    ErrnoName{EOPNOTSUPP, "EOPNOTSUPP"},
    ErrnoName{ESTALE, "ESTALE"},
    ErrnoName{EDQUOT, "EDQUOT"},
    ErrnoName{E2BIG, "E2BIG"},
    ErrnoName{EKEYEXPIRED, "EKEYEXPIRED"},
};

}  // namespace

std::string_view to_string(ErrorCode code) {
  return kCodeNames[static_cast<std::size_t>(code)].name;
}

ErrorCode error_code_from_string(std::string_view name) {
  for (const CodeName& entry : kCodeNames) {
    if (entry.name == name)
      return entry.code;
  }
  return ErrorCode::Internal;
}

std::string_view errno_name(int error_number) {
  for (const ErrnoName& entry : kErrnoNames) {
    if (entry.number == error_number)
      return entry.name;
  }
  return {};
}

int errno_from_name(std::string_view name) {
  for (const ErrnoName& entry : kErrnoNames) {
    if (entry.name == name)
      return entry.number;
  }
  return 0;
}

Error Error::in(std::string_view context) const {
  return Error{code, fmt::format("{}: {}", context, message), retry_after, error_number, detail};
}

ErrorCode error_code_from_errno(int error_number) {
  switch (error_number) {
    case ENOENT:
    case ENODATA:
      return ErrorCode::NotFound;
    case EEXIST:
    case ENOTEMPTY:
      return ErrorCode::AlreadyExists;
    case EACCES:
    case EPERM:
    case EROFS:
      return ErrorCode::PermissionDenied;
    case ENOSPC:
    case EDQUOT:
      return ErrorCode::NoSpace;
    case EADDRINUSE:
    case EBUSY:
    case ETXTBSY:
      return ErrorCode::Busy;
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case ENOBUFS:
    case EMLINK:
      return ErrorCode::ResourceExhausted;
    case ETIMEDOUT:
      return ErrorCode::DeadlineExceeded;
    case ECONNREFUSED:
    case EHOSTUNREACH:
    case ENETUNREACH:
      return ErrorCode::Unavailable;
    case ECANCELED:
    case EINTR:
      return ErrorCode::Cancelled;
    case EFBIG:
    case ENAMETOOLONG:
    case E2BIG:
      return ErrorCode::TooLarge;
    case EINVAL:
    case EADDRNOTAVAIL:
    case ENOTDIR:
    case EISDIR:
    case ELOOP:
    case EXDEV:
    case ERANGE:
      return ErrorCode::InvalidArgument;
    case ENOSYS:
    case EOPNOTSUPP:
      return ErrorCode::Unsupported;
    case EDEADLK:
      return ErrorCode::Deadlock;
    case ESTALE:
      return ErrorCode::Stale;
    case EKEYEXPIRED:
      return ErrorCode::Expired;
    default:
      return ErrorCode::IoError;
  }
}

tl::unexpected<Error> fail_errno_text(int error_number, std::string what) {
  return tl::unexpected<Error>(
      Error{error_code_from_errno(error_number),
            fmt::format("{}: {}", what, std::generic_category().message(error_number))});
}

}  // namespace common
