#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "broker/store/file_system.h"

namespace feedvault::broker::streams {

/// Files in memory, for streams with memory storage: they are a log like any other, on these. Syncs
/// do nothing. Files grow in blocks, so that a segment never moves. Any thread.
class MemoryFileSystem final : public store::FileSystem {
 public:
  MemoryFileSystem() = default;

  Result<std::unique_ptr<store::File>> open(const std::string& path) override;
  Result<std::unique_ptr<store::File>> create(const std::string& path) override;
  Result<std::vector<store::DirEntry>> list(const std::string& dir) override;
  Status rename(const std::string& from, const std::string& to) override;
  Status remove(const std::string& path) override;
  Status make_dir(const std::string& dir) override;
  Status sync_dir(const std::string& dir) override;
  std::string incarnation() override { return "memory"; }

 private:
  class Contents;
  class Handle;

  Mutex mutex_;
  std::map<std::string, std::shared_ptr<Contents>> files_ GUARDED_BY(mutex_);
  std::map<std::string, bool> dirs_ GUARDED_BY(mutex_);
};

}  // namespace feedvault::broker::streams
