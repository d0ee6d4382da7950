#pragma once

// Makes a volume out of a dump, or brings a copy forward by one. Verifies everything before it
// counts: see fileserver/DUMP.md.

#include "common/io/file_io.hpp"
#include "fileserver/dump/format.hpp"
#include "fileserver/store/volume.hpp"

namespace fileserver::dump {

struct LoadOptions {
  const Secret* key = nullptr;         // that the dump was sealed with
  store::VolumeOptions volume;         // of the new volume; with a key, that is sealed
  std::optional<common::VolumeId> id;  // default: the id of the one that was dumped
  // A copy that follows can be brought forward by later dumps of commits. One that serves commits
  // by itself from now on, in an epoch of its own: it is another volume, with a uuid of its own.
  enum class Then : std::uint8_t { Follow, Serve };
  Then then = Then::Follow;
  // Keeps what has come so far when a dump is cut, so that loading goes on later.
  bool keep_partial = false;
  bool check = true;  // rows, names and trees as troth-fsck does, before the volume counts
};

struct LoadReport {
  Begin begin;
  Totals totals;  // of this stream
  Seq seq;        // where the volume stands now
};

// One thread. Memory: the record that is coming, and the names of one commit's blocks. A failure is
// final: every later call answers the same.
class Loader {
 public:
  // A dump of a whole volume becomes `directory`, which must not exist. Until finish() it is
  // `directory`.load, which finish() checks and renames. With keep_partial, such a directory that
  // is there already is gone on with.
  [[nodiscard]] static Result<std::unique_ptr<Loader>> into_new(const std::string& directory,
                                                                LoadOptions options,
                                                                const common::Clock& clock);
  // A dump of commits onto a copy that stands where it begins, or within. What has come when it is
  // cut is redone, commit by commit; the rest may come later. `copy` must outlive it, and no
  // upkeep of it may run meanwhile.
  [[nodiscard]] static Result<std::unique_ptr<Loader>> onto(store::Volume& copy,
                                                            LoadOptions options,
                                                            const common::Clock& clock);
  // Without finish() the new volume is removed, unless it is kept to be gone on with.
  ~Loader();

  // Where a dump should go on (DumpOptions::resume); empty: at its beginning.
  [[nodiscard]] const Bytes& position() const { return position_; }

  // The next bytes of the stream, as they come. Besides what RecordReader says: AlreadyExists,
  // Conflict (the copy stands elsewhere, or the stream goes on from another position),
  // InvalidArgument (a dump of another volume, or of the other kind).
  [[nodiscard]] Status feed(ByteView bytes);
  // After the last byte. Protocol: the dump was cut off. Corrupt: what came out is not what was
  // dumped.
  [[nodiscard]] Result<LoadReport> finish();

 private:
  Loader(LoadOptions options, const common::Clock& clock, RecordReader reader);

  [[nodiscard]] Status feed_whole(ByteView bytes);
  [[nodiscard]] Result<LoadReport> finish_whole();
  [[nodiscard]] Status take(const Record& record);
  [[nodiscard]] Status take_begin();
  [[nodiscard]] Status begin_new();
  [[nodiscard]] Status begin_onto();
  [[nodiscard]] Status make_directory();
  [[nodiscard]] Status take_up();
  [[nodiscard]] Status take_rows(ByteView payload);
  [[nodiscard]] Status take_block(ByteView payload);
  [[nodiscard]] Status take_commit(ByteView payload);
  [[nodiscard]] Status take_position(ByteView payload);
  [[nodiscard]] Status enter_blocks();
  [[nodiscard]] Status finish_rows();
  [[nodiscard]] Status check_image();
  [[nodiscard]] Status settle();
  void remove_partial();

  LoadOptions options_;
  const common::Clock& clock_;
  RecordReader reader_;
  std::optional<common::Error> failed_;
  bool finished_ = false;

  std::string directory_;  // empty: onto a copy
  std::string partial_;
  std::unique_ptr<common::io::FileIo> io_;  // of the partial directory
  std::unique_ptr<store::Volume> made_;
  store::Volume* volume_ = nullptr;
  Bytes position_;
  std::optional<store::Upload> upload_;
  Totals totals_;
};

}  // namespace fileserver::dump
