#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "broker/store/file_system.h"

namespace feedvault::testing {

/// A file system in memory whose power can be cut. It promises what FileSystem does and not a byte
/// more: after a cut, what was not synced is gone, or any part of it is there.
///
/// What a cut may do in Mode::kKeepSome, to each thing that was not synced on its own:
///  - of a write, any of its 512-byte sectors, the last one torn at any byte;
///  - a file's size: the old one, the new one, or one in between; holes read as zeros;
///  - a creation, rename or removal of a name: done or not done, in any order.
/// A failed sync loses the bytes as Linux does: reads still see them, later syncs succeed, and the
/// disk never gets them.
///
/// Folders exist once made and are never lost. Any thread.
class PowerLossFileSystem final : public broker::store::FileSystem {
 public:
  enum class Mode { kForget, kKeepSome };
  enum class Op { kWrite, kSync, kTruncate, kCreate, kRename, kRemove, kSyncDir, kRead };

  explicit PowerLossFileSystem(std::uint64_t seed) : random_(seed) {}

  // FileSystem
  Result<std::unique_ptr<broker::store::File>> open(const std::string& path) override;
  Result<std::unique_ptr<broker::store::File>> create(const std::string& path) override;
  Result<std::vector<broker::store::DirEntry>> list(const std::string& dir) override;
  Status rename(const std::string& from, const std::string& to) override;
  Status remove(const std::string& path) override;
  Status make_dir(const std::string& dir) override;
  Status sync_dir(const std::string& dir) override;
  std::string incarnation() override;

  /// The power goes off during the n-th changing operation from now (0: the next). From then on
  /// everything fails, as for a process that is no more, until restart().
  void cut_after(std::uint64_t operations, Mode mode);
  void cut_now(Mode mode);
  bool is_off() const;
  /// Power is back, with what the disk holds. Files that were open stay unusable.
  void restart();

  /// Called before each operation; a failure is what the operation returns. Of a write, a random
  /// part is done all the same.
  using Fault = std::function<Status(Op op, const std::string& path)>;
  void set_fault(Fault fault);
  /// Writes that would make the files together larger than this fail with kExhausted.
  void set_capacity(std::uint64_t bytes);
  /// Whether File::reserve() does anything, as at first; if not, a write finds the disk full.
  void set_reserves(bool reserves);

  /// For tests that damage things: contents as the next open will see them, durable at once.
  std::vector<std::string> files() const;
  std::string contents(const std::string& path) const;
  void set_contents(const std::string& path, std::string bytes);
  std::uint64_t total_bytes() const;
  /// Changing operations so far.
  std::uint64_t operations() const;

 private:
  friend class PowerLossFile;
  struct Change {
    std::uint64_t offset = 0;
    std::string bytes;
    std::optional<std::uint64_t> truncated_to;
  };
  struct Node {
    std::string now;              // what reads see
    std::string durable;          // what is on the disk for sure
    std::vector<Change> changes;  // since
  };
  using NodePtr = std::shared_ptr<Node>;
  struct NameChange {
    std::string removed;  // "" for none
    std::string added;
    NodePtr node;
  };

  Status begin(Op op, const std::string& path) REQUIRES_LOCK(mutex_);
  void lose_power() REQUIRES_LOCK(mutex_);
  void keep_some(Node& node) REQUIRES_LOCK(mutex_);
  std::uint64_t random(std::uint64_t below) REQUIRES_LOCK(mutex_);
  std::uint64_t bytes_in_all() const REQUIRES_LOCK(mutex_);

  Status write(const NodePtr& node,
               std::uint64_t life,
               const std::string& path,
               std::uint64_t offset,
               std::string_view bytes);
  Status truncate(const NodePtr& node,
                  std::uint64_t life,
                  const std::string& path,
                  std::uint64_t size);
  Status sync(const NodePtr& node, std::uint64_t life, const std::string& path);
  Result<std::size_t> read(const NodePtr& node,
                           std::uint64_t life,
                           const std::string& path,
                           std::uint64_t offset,
                           std::span<char> buffer);
  Result<std::uint64_t> size(const NodePtr& node, std::uint64_t life) const;
  Status reserve(const NodePtr& node, std::uint64_t life, std::uint64_t end);

  mutable Mutex mutex_;
  std::mt19937_64 random_ GUARDED_BY(mutex_);
  std::map<std::string, NodePtr> names_ GUARDED_BY(mutex_);
  std::map<std::string, NodePtr> durable_names_ GUARDED_BY(mutex_);
  std::vector<NameChange> name_changes_ GUARDED_BY(mutex_);
  std::map<std::string, bool> dirs_ GUARDED_BY(mutex_);
  std::optional<std::uint64_t> cut_in_ GUARDED_BY(mutex_);
  Mode mode_ GUARDED_BY(mutex_) = Mode::kForget;
  bool off_ GUARDED_BY(mutex_) = false;
  std::uint64_t life_ GUARDED_BY(mutex_) = 1;
  std::uint64_t operations_ GUARDED_BY(mutex_) = 0;
  std::uint64_t capacity_ GUARDED_BY(mutex_) = ~std::uint64_t{0};
  bool reserves_ GUARDED_BY(mutex_) = true;
  Fault fault_ GUARDED_BY(mutex_);
};

}  // namespace feedvault::testing
