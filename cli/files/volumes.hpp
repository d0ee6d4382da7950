#pragma once

// What the files of `troth volume` share.

#include <memory>
#include <string>

#include "cli/files/files.hpp"

namespace cli {

using ServerPtr = std::shared_ptr<fileclient::FileServer>;

// "20G" and the like, in powers of 1024.
[[nodiscard]] common::Result<std::uint64_t> parse_size(const std::string& text);

// The file server with that name; with none, the only one.
[[nodiscard]] common::Result<ServerPtr> server_named(Files& files, const std::string& name);
// The one that has the volume.
[[nodiscard]] common::Result<ServerPtr> server_of(Files& files, const std::string& volume);

// Where people find that directory: "/home", or "VOLUME:/path" where the volume is attached
// nowhere. As far as the caller may see; else "node N of volume M".
[[nodiscard]] std::string place_of(Files& files, common::Fid directory);

// dump, load.
void add_volume_stream_commands(Command group, Session& session, const FileContextPtr& context);

}  // namespace cli
