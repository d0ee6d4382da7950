#include "cli/join.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

#include <nlohmann/json.hpp>

#include "common/cell/new_tree.hpp"
#include "common/crypto/hash.hpp"
#include "common/crypto/random.hpp"
#include "common/io/posix_file_io.hpp"
#include "common/rpc/client.hpp"
#include "common/rpc/socket.hpp"
#include "common/wire/hex.hpp"
#include "common/wire/json_object.hpp"

namespace cli {
namespace {

using common::ErrorCode;
using common::fail;
using common::Result;
using common::Status;
namespace cell = common::cell;
namespace crypto = common::crypto;
namespace rpc = common::rpc;
namespace tls = common::tls;

// A description of a thousand servers; and a certificate.
constexpr std::size_t kMaxDescription = std::size_t{1} << 20;
constexpr std::size_t kMaxCertificate = 16 * 1024;

struct CellAnswer {
  std::string description;
  std::string ca;
};

Result<CellAnswer> ask(rpc::ClientOptions options, common::Instant deadline) {
  rpc::Client client(std::move(options));
  rpc::Request request;
  request.service = "kdc";
  request.operation = "cell";
  request.deadline = deadline;
  const auto result = client.call(request);
  if (!result.answer)
    return tl::unexpected(result.answer.error());
  TROTH_TRY(const auto object, common::wire::JsonObject::of(result.answer->result(), "cell"));
  CellAnswer answer;
  TROTH_TRY(answer.description, object.text("description", kMaxDescription));
  TROTH_TRY(answer.ca, object.text("ca", kMaxCertificate));
  return answer;
}

rpc::ClientOptions options_for(const common::config::Endpoint& kdc) {
  rpc::ClientOptions options;
  options.host = kdc.host;
  options.port = kdc.port;
  options.server_name = kdc.host;
  return options;
}

common::Error unreachable(const common::config::Endpoint& kdc, const common::Error& error) {
  common::Error told = error;
  told.message = fmt::format("cannot ask the KDC at {}: {}", common::config::format_endpoint(kdc),
                             error.message);
  return told;
}

// The authority's certificate as a file for OpenSSL, and the file away again.
class TemporaryFile {
 public:
  static Result<TemporaryFile> make(const std::string& text) {
    std::string path = std::filesystem::temp_directory_path().string() + "/troth-join-XXXXXX";
    const int fd = ::mkostemp(path.data(), O_CLOEXEC);
    if (fd < 0)
      return common::fail_errno(errno, "make a temporary file");
    TemporaryFile file(path);
    const common::UniqueFd owned(fd);
    if (::write(fd, text.data(), text.size()) != static_cast<ssize_t>(text.size()))
      return common::fail_errno(errno, "write {}", path);
    return file;
  }
  TemporaryFile(TemporaryFile&& other) noexcept : path_(std::exchange(other.path_, {})) {}
  TemporaryFile& operator=(TemporaryFile&&) = delete;
  ~TemporaryFile() {
    if (!path_.empty())
      ::unlink(path_.c_str());
  }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  explicit TemporaryFile(std::string path) : path_(std::move(path)) {}
  std::string path_;
};

Result<std::string> verified_description(const common::config::Endpoint& kdc,
                                         const std::string& authority_pem, const std::string& cell,
                                         common::Instant deadline) {
  TROTH_TRY(const TemporaryFile file, TemporaryFile::make(authority_pem));
  rpc::ClientOptions options = options_for(kdc);
  options.cell_id = cell;
  options.role = "kdc";
  TROTH_TRY(auto context, tls::ReloadableContext::make([path = file.path()] {
              return tls::make_client({.ca = path, .certificate = {}, .key = {}});
            }));
  options.tls = std::move(context);
  auto answer = ask(std::move(options), deadline);
  if (!answer)
    return tl::unexpected(unreachable(kdc, answer.error()));
  return std::move(answer->description);
}

Status make_public(const std::string& path) {
  struct stat info {};
  if (::lstat(path.c_str(), &info) != 0)
    return common::fail_errno(errno, "look at {}", path);
  if (::chmod(path.c_str(), S_ISDIR(info.st_mode) ? 0755 : 0644) != 0)
    return common::fail_errno(errno, "make {} readable", path);
  return {};
}

Status write_configuration(const std::string& directory, const std::string& description,
                           const std::string& authority) {
  const std::filesystem::path whole = std::filesystem::absolute(directory).lexically_normal();
  const auto target = whole.has_filename() ? whole : whole.parent_path();
  const std::string parent = target.parent_path().string();
  TROTH_TRY(const auto io, common::io::PosixFileIo::open_root(parent));
  const auto everybody = cell::Audience::Everybody;
  const auto secret = [](const std::string& text) {
    return crypto::Secret::copy_of(common::as_bytes(text));
  };
  cell::NewTree tree;
  tree.directories.push_back({.path = "ca", .audience = everybody});
  tree.files.push_back({.path = std::string(cell::kDescriptionFile),
                        .content = secret(description),
                        .audience = everybody});
  tree.files.push_back({.path = "ca/ca.crt", .content = secret(authority), .audience = everybody});
  const Status written = cell::write_new_tree(
      *io, target.filename().string(), tree,
      [&](const std::string& path) { return make_public(parent + "/" + path); });
  if (!written && written.error().code == ErrorCode::AlreadyExists) {
    return fail(ErrorCode::AlreadyExists,
                "{} exists already and is never overwritten; choose another place with --dir or "
                "move it away",
                target.string());
  }
  return written;
}

// A fingerprint however it was grouped.
std::string digits_of(std::string_view text) {
  std::string digits;
  for (const char c : text) {
    if (c != ' ' && c != ':' && c != '-' && c != '\n')
      digits += static_cast<char>(c >= 'A' && c <= 'F' ? c - 'A' + 'a' : c);
  }
  return digits;
}

}  // namespace

Result<CellOffer> ask_for_cell(const common::config::Endpoint& kdc, common::Instant deadline) {
  rpc::ClientOptions options = options_for(kdc);
  TROTH_TRY(auto context,
            tls::ReloadableContext::make([] { return tls::make_client_that_believes_nobody(); }));
  options.tls = std::move(context);
  const auto answer = ask(std::move(options), deadline);
  if (!answer)
    return tl::unexpected(unreachable(kdc, answer.error()));
  TROTH_TRY(auto authority, crypto::Certificate::from_pem(answer->ca));
  TROTH_TRY(const auto info, authority.inspect());
  if (!info.is_authority)
    return fail(ErrorCode::Protocol, "what answers at {} names no authority",
                common::config::format_endpoint(kdc));
  TROTH_TRY(const auto description,
            cell::parse_description("the KDC's cell.toml", answer->description));
  return CellOffer{std::move(authority), info.fingerprint, description.name, description.id};
}

std::string fingerprint_text(const crypto::Digest& fingerprint) {
  std::string text;
  for (std::size_t i = 0; i < fingerprint.size(); ++i) {
    if (i > 0 && i % 2 == 0)
      text += ' ';
    text += fmt::format("{:02X}", std::to_integer<unsigned>(fingerprint[i]));
  }
  return text;
}

bool begins_fingerprint(std::string_view typed, const crypto::Digest& fingerprint) {
  constexpr std::size_t kDigitsOfGroup = 4;
  const std::string digits = digits_of(typed);
  return digits.size() >= kTypedGroups * kDigitsOfGroup &&
         common::wire::to_hex(fingerprint).starts_with(digits);
}

Result<crypto::Digest> parse_fingerprint(std::string_view text) {
  const std::string digits = digits_of(text);
  crypto::Digest fingerprint{};
  if (!common::wire::from_hex_into(digits, fingerprint)) {
    return fail(ErrorCode::InvalidArgument,
                "\"{}\" is not a fingerprint; expected 64 hex digits, as troth cell fingerprint "
                "shows them on a machine of the cell",
                text);
  }
  return fingerprint;
}

Result<cell::Description> join_cell(const common::config::Endpoint& kdc, const CellOffer& offer,
                                    const std::string& directory, common::Instant deadline,
                                    common::WallTime now) {
  TROTH_TRY(const auto info, offer.authority.inspect());
  if (now >= info.not_after)
    return fail(ErrorCode::Expired, "the cell's authority has ended; the cell needs a new one");
  TROTH_TRY(const std::string pem, offer.authority.to_pem());
  TROTH_TRY(const std::string text, verified_description(kdc, pem, offer.cell_id, deadline));
  TROTH_TRY(cell::Description description, cell::parse_description("the KDC's cell.toml", text));
  if (description.id != offer.cell_id)
    return fail(ErrorCode::Protocol, "the KDC names two cells; ask again");
  // Where the certificate lies here is ours to say.
  description.ca = "ca/ca.crt";
  TROTH_TRY_VOID(write_configuration(directory, cell::to_toml(description), pem));
  return description;
}

}  // namespace cli
