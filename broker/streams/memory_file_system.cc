#include "broker/streams/memory_file_system.h"

#include <algorithm>
#include <set>
#include <utility>

namespace feedvault::broker::streams {
namespace {

constexpr std::size_t kBlockBytes = 64U << 10U;

}  // namespace

/// A file's bytes; what was never written reads as zeros.
class MemoryFileSystem::Contents {
 public:
  std::size_t read(std::uint64_t offset, std::span<char> out) const {
    const MutexLock lock(mutex_);
    if (offset >= size_) {
      return 0;
    }
    const auto bytes =
        static_cast<std::size_t>(std::min<std::uint64_t>(out.size(), size_ - offset));
    for (std::size_t done = 0; done < bytes;) {
      const auto at = static_cast<std::size_t>((offset + done) % kBlockBytes);
      const std::size_t part = std::min(bytes - done, kBlockBytes - at);
      const char* const block =
          blocks_[static_cast<std::size_t>((offset + done) / kBlockBytes)].get();
      std::copy_n(block + at, part, out.data() + done);
      done += part;
    }
    return bytes;
  }

  void write(std::uint64_t offset, std::string_view bytes) {
    const MutexLock lock(mutex_);
    resize(std::max(size_, offset + bytes.size()));
    while (!bytes.empty()) {
      const auto at = static_cast<std::size_t>(offset % kBlockBytes);
      const std::size_t part = std::min(bytes.size(), kBlockBytes - at);
      bytes.copy(blocks_[static_cast<std::size_t>(offset / kBlockBytes)].get() + at, part);
      bytes.remove_prefix(part);
      offset += part;
    }
  }

  void truncate(std::uint64_t size) {
    const MutexLock lock(mutex_);
    const std::uint64_t before = size_;
    resize(size);
    if (size < before && size % kBlockBytes != 0) {
      const auto at = static_cast<std::size_t>(size % kBlockBytes);
      std::fill_n(blocks_.back().get() + at, kBlockBytes - at, '\0');
    }
  }

  std::uint64_t size() const {
    const MutexLock lock(mutex_);
    return size_;
  }

 private:
  void resize(std::uint64_t size) REQUIRES_LOCK(mutex_) {
    const auto blocks = static_cast<std::size_t>((size + kBlockBytes - 1) / kBlockBytes);
    while (blocks_.size() < blocks) {
      blocks_.push_back(std::make_unique<char[]>(kBlockBytes));
    }
    blocks_.resize(blocks);
    size_ = size;
  }

  mutable Mutex mutex_;
  std::vector<std::unique_ptr<char[]>> blocks_ GUARDED_BY(mutex_);
  std::uint64_t size_ GUARDED_BY(mutex_) = 0;
};

class MemoryFileSystem::Handle final : public store::File {
 public:
  explicit Handle(std::shared_ptr<Contents> contents) : contents_(std::move(contents)) {}

  Result<std::size_t> read_at(std::uint64_t offset, std::span<char> buffer) const override {
    return contents_->read(offset, buffer);
  }
  Status write_at(std::uint64_t offset, std::string_view bytes) override {
    contents_->write(offset, bytes);
    return {};
  }
  Result<std::uint64_t> size() const override { return contents_->size(); }
  Status truncate(std::uint64_t size) override {
    contents_->truncate(size);
    return {};
  }
  Status sync() override { return {}; }

 private:
  std::shared_ptr<Contents> contents_;  // a removed file lives on while it is open
};

Result<std::unique_ptr<store::File>> MemoryFileSystem::open(const std::string& path) {
  const MutexLock lock(mutex_);
  const auto found = files_.find(path);
  if (found == files_.end()) {
    return not_found("no file " + path);
  }
  return std::unique_ptr<store::File>(new Handle(found->second));
}

Result<std::unique_ptr<store::File>> MemoryFileSystem::create(const std::string& path) {
  const MutexLock lock(mutex_);
  auto& contents = files_[path];
  contents = std::make_shared<Contents>();
  return std::unique_ptr<store::File>(new Handle(contents));
}

Result<std::vector<store::DirEntry>> MemoryFileSystem::list(const std::string& dir) {
  const MutexLock lock(mutex_);
  if (!dirs_.contains(dir)) {
    return not_found("no folder " + dir);
  }
  const std::string prefix = dir + '/';
  std::set<std::pair<std::string, bool>> names;
  const auto add = [&](const std::string& path, bool is_dir) {
    if (path.starts_with(prefix) && path.find('/', prefix.size()) == std::string::npos) {
      names.emplace(path.substr(prefix.size()), is_dir);
    }
  };
  for (const auto& [path, contents] : files_) {
    add(path, false);
  }
  for (const auto& [path, made] : dirs_) {
    add(path, true);
  }
  std::vector<store::DirEntry> entries;
  entries.reserve(names.size());
  for (const auto& [name, is_dir] : names) {
    entries.push_back({name, is_dir});
  }
  return entries;
}

Status MemoryFileSystem::rename(const std::string& from, const std::string& to) {
  const MutexLock lock(mutex_);
  const auto found = files_.find(from);
  if (found == files_.end()) {
    return not_found("no file " + from);
  }
  auto contents = std::move(found->second);
  files_.erase(found);
  files_[to] = std::move(contents);
  return {};
}

Status MemoryFileSystem::remove(const std::string& path) {
  const MutexLock lock(mutex_);
  return files_.erase(path) + dirs_.erase(path) > 0 ? Status() : not_found("no file " + path);
}

Status MemoryFileSystem::make_dir(const std::string& dir) {
  const MutexLock lock(mutex_);
  dirs_[dir] = true;
  return {};
}

Status MemoryFileSystem::sync_dir(const std::string& /*dir*/) {
  return {};
}

}  // namespace feedvault::broker::streams
