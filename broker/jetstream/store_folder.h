#pragma once

#include <string>

#include "base/result.h"
#include "base/unique_fd.h"
#include "broker/store/file_system.h"

namespace feedvault::broker::jetstream {

/// The folder that all streams of this server are in, which one process at a time may use. Held
/// until this object goes, or the process does.
class StoreFolder {
 public:
  /// Makes the folder, and those above it, when they are missing. kUnavailable when another process
  /// has it, kInvalidArgument when nats-server has left streams there.
  static Result<StoreFolder> open(const std::string& path, store::FileSystem& fs);

  /// For who only reads it, and beside others who do. kUnavailable when a server has it.
  static Result<StoreFolder> look_at(const std::string& path);

  const std::string& path() const { return path_; }
  /// Where the streams are, one folder each.
  std::string streams_dir() const;

 private:
  StoreFolder(std::string path, UniqueFd lock) : path_(std::move(path)), lock_(std::move(lock)) {}
  std::string path_;
  UniqueFd lock_;
};

/// Where nats-server would put its streams, given what is configured ("" for nothing).
std::string store_path(const std::string& configured);

}  // namespace feedvault::broker::jetstream
