#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace feedvault::broker::store {

/// One open file. Positions are absolute; nothing here keeps a cursor. Reads may run on several
/// threads at once, beside one writer that changes other bytes. Closed by the destructor, which
/// says nothing about the disk: only sync() does.
///
/// Errors: kExhausted when the disk or a quota is full, kIo for everything else. A text names the
/// file and what the operating system said.
class File {
 public:
  virtual ~File() = default;

  /// Reads up to buffer.size() bytes at `offset`; fewer only at the end of the file.
  virtual Result<std::size_t> read_at(std::uint64_t offset, std::span<char> buffer) const = 0;

  /// Writes all of `bytes` at `offset`, growing the file. After an error any part may be written.
  virtual Status write_at(std::uint64_t offset, std::string_view bytes) = 0;

  /// Sees to it that what is written in [begin, end) will find room. The file has `end` bytes then,
  /// zeros where nothing was: a write that changes no size is sooner durable. kExhausted: there is
  /// not so much. Ok where nobody can tell: the size may stay, and a write may still say so.
  virtual Status reserve(std::uint64_t begin, std::uint64_t end) {
    static_cast<void>(begin);
    static_cast<void>(end);
    return {};
  }

  virtual Result<std::uint64_t> size() const = 0;
  virtual Status truncate(std::uint64_t size) = 0;

  /// fdatasync: what was written before, and the size, survive a power cut once this returns ok.
  /// After an error nothing is known about any write since the last success, and asking again
  /// proves nothing (Linux reports a lost page once): treat the file as gone.
  virtual Status sync() = 0;
};

struct DirEntry {
  std::string name;
  bool is_dir = false;
};

/// The few operations of a file system that the store needs, so that a test can forget what was not
/// synced. Any thread. Names are full paths.
///
/// Creations, renames and removals are durable after sync_dir of their folder, not before, and in
/// no particular order.
class FileSystem {
 public:
  virtual ~FileSystem() = default;

  /// Opens for reading and writing. kNotFound when there is no such file.
  virtual Result<std::unique_ptr<File>> open(const std::string& path) = 0;
  /// Creates an empty file; an existing one is emptied.
  virtual Result<std::unique_ptr<File>> create(const std::string& path) = 0;
  /// Names in a folder, sorted, without "." and "..". kNotFound when there is no such folder.
  virtual Result<std::vector<DirEntry>> list(const std::string& dir) = 0;
  /// Replaces `to` when it exists.
  virtual Status rename(const std::string& from, const std::string& to) = 0;
  /// A file or an empty folder. kNotFound when there is none.
  virtual Status remove(const std::string& path) = 0;
  /// Ok when it is there already. The parent must exist; sync_dir it to keep the new folder.
  virtual Status make_dir(const std::string& dir) = 0;
  virtual Status sync_dir(const std::string& dir) = 0;

  /// Names the time during which written bytes cannot have been lost, even when not synced: on
  /// Linux the boot id. The same text as in an earlier run: that process was at most killed. Empty
  /// when unknown.
  virtual std::string incarnation() = 0;
};

/// The operating system's. Lives for ever.
FileSystem& real_file_system();
/// The same for who only looks: files are opened for reading, everything that would change one
/// fails with kIo.
FileSystem& read_only_file_system();

}  // namespace feedvault::broker::store
