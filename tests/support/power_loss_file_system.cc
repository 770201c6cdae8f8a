#include "tests/support/power_loss_file_system.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace feedvault::testing {

using broker::store::DirEntry;
using broker::store::File;

namespace {

constexpr std::uint64_t kSector = 512;

Status no_power() {
  return io_error("the power is off");
}

std::string folder_of(const std::string& path) {
  return path.substr(0, path.find_last_of('/'));
}

void put_bytes(std::string& text, std::uint64_t offset, std::string_view bytes) {
  if (bytes.empty()) {
    return;
  }
  if (text.size() < offset + bytes.size()) {
    text.resize(offset + bytes.size(), '\0');
  }
  std::memcpy(text.data() + offset, bytes.data(), bytes.size());
}

}  // namespace

class PowerLossFile final : public File {
 public:
  PowerLossFile(PowerLossFileSystem& fs,
                PowerLossFileSystem::NodePtr node,
                std::uint64_t life,
                std::string path)
      : fs_(fs), node_(std::move(node)), life_(life), path_(std::move(path)) {}

  Result<std::size_t> read_at(std::uint64_t offset, std::span<char> buffer) const override {
    return fs_.read(node_, life_, path_, offset, buffer);
  }
  Status write_at(std::uint64_t offset, std::string_view bytes) override {
    return fs_.write(node_, life_, path_, offset, bytes);
  }
  Result<std::uint64_t> size() const override { return fs_.size(node_, life_); }
  Status reserve(std::uint64_t /*begin*/, std::uint64_t end) override {
    return fs_.reserve(node_, life_, end);
  }
  Status truncate(std::uint64_t size) override { return fs_.truncate(node_, life_, path_, size); }
  Status sync() override { return fs_.sync(node_, life_, path_); }

 private:
  PowerLossFileSystem& fs_;
  PowerLossFileSystem::NodePtr node_;
  std::uint64_t life_;
  std::string path_;
};

std::uint64_t PowerLossFileSystem::random(std::uint64_t below) {
  return std::uniform_int_distribution<std::uint64_t>(0, below - 1)(random_);
}

/// Counts a changing operation; the one during which the power goes still happens, then nothing.
Status PowerLossFileSystem::begin(Op op, const std::string& path) {
  if (off_) {
    return no_power();
  }
  ++operations_;
  return fault_ ? fault_(op, path) : Status();
}

std::uint64_t PowerLossFileSystem::bytes_in_all() const {
  std::uint64_t bytes = 0;
  for (const auto& [path, node] : names_) {
    bytes += node->now.size();
  }
  return bytes;
}

Result<std::unique_ptr<File>> PowerLossFileSystem::open(const std::string& path) {
  const MutexLock lock(mutex_);
  if (off_) {
    return no_power();
  }
  const auto found = names_.find(path);
  if (found == names_.end()) {
    return not_found("open " + path + ": no such file");
  }
  return std::unique_ptr<File>(std::make_unique<PowerLossFile>(*this, found->second, life_, path));
}

Result<std::unique_ptr<File>> PowerLossFileSystem::create(const std::string& path) {
  const MutexLock lock(mutex_);
  RETURN_IF_ERROR(begin(Op::kCreate, path));
  const auto found = names_.find(path);
  NodePtr node;
  if (found != names_.end()) {
    node = found->second;
    node->now.clear();
    node->changes.push_back({0, {}, 0});
  } else {
    node = std::make_shared<Node>();
    names_[path] = node;
    name_changes_.push_back({"", path, node});
  }
  if (cut_in_.has_value() && (*cut_in_)-- == 0) {
    lose_power();
    return no_power();
  }
  return std::unique_ptr<File>(std::make_unique<PowerLossFile>(*this, node, life_, path));
}

Result<std::vector<DirEntry>> PowerLossFileSystem::list(const std::string& dir) {
  const MutexLock lock(mutex_);
  if (off_) {
    return no_power();
  }
  if (!dirs_.contains(dir)) {
    return not_found("open folder " + dir + ": no such folder");
  }
  std::vector<DirEntry> entries;
  for (const auto& [path, node] : names_) {
    if (folder_of(path) == dir) {
      entries.push_back({path.substr(dir.size() + 1), false});
    }
  }
  for (const auto& [path, unused] : dirs_) {
    if (path.size() > dir.size() && folder_of(path) == dir) {
      entries.push_back({path.substr(dir.size() + 1), true});
    }
  }
  std::ranges::sort(entries, {}, &DirEntry::name);
  return entries;
}

Status PowerLossFileSystem::rename(const std::string& from, const std::string& to) {
  const MutexLock lock(mutex_);
  RETURN_IF_ERROR(begin(Op::kRename, from));
  const auto found = names_.find(from);
  if (found == names_.end()) {
    return not_found("rename " + from + ": no such file");
  }
  const NodePtr node = found->second;
  names_.erase(found);
  names_[to] = node;
  name_changes_.push_back({from, to, node});
  if (cut_in_.has_value() && (*cut_in_)-- == 0) {
    lose_power();
    return no_power();
  }
  return {};
}

Status PowerLossFileSystem::remove(const std::string& path) {
  const MutexLock lock(mutex_);
  if (!off_ && !names_.contains(path)) {
    return not_found("remove " + path + ": no such file");
  }
  RETURN_IF_ERROR(begin(Op::kRemove, path));
  names_.erase(path);
  name_changes_.push_back({path, "", nullptr});
  if (cut_in_.has_value() && (*cut_in_)-- == 0) {
    lose_power();
    return no_power();
  }
  return {};
}

Status PowerLossFileSystem::make_dir(const std::string& dir) {
  const MutexLock lock(mutex_);
  if (off_) {
    return no_power();
  }
  dirs_[dir] = true;
  return {};
}

Status PowerLossFileSystem::sync_dir(const std::string& dir) {
  const MutexLock lock(mutex_);
  RETURN_IF_ERROR(begin(Op::kSyncDir, dir));
  if (cut_in_.has_value() && (*cut_in_)-- == 0) {
    lose_power();
    return no_power();
  }
  std::vector<NameChange> others;
  for (NameChange& change : name_changes_) {
    if (folder_of(change.added.empty() ? change.removed : change.added) != dir) {
      others.push_back(std::move(change));
      continue;
    }
    durable_names_.erase(change.removed);
    if (!change.added.empty()) {
      durable_names_[change.added] = change.node;
    }
  }
  name_changes_ = std::move(others);
  return {};
}

std::string PowerLossFileSystem::incarnation() {
  const MutexLock lock(mutex_);
  return "boot " + std::to_string(life_);
}

void PowerLossFileSystem::cut_after(std::uint64_t operations, Mode mode) {
  const MutexLock lock(mutex_);
  cut_in_ = operations;
  mode_ = mode;
}

void PowerLossFileSystem::cut_now(Mode mode) {
  const MutexLock lock(mutex_);
  mode_ = mode;
  if (!off_) {
    lose_power();
  }
}

bool PowerLossFileSystem::is_off() const {
  const MutexLock lock(mutex_);
  return off_;
}

void PowerLossFileSystem::restart() {
  const MutexLock lock(mutex_);
  off_ = false;
  ++life_;
}

void PowerLossFileSystem::keep_some(Node& node) {
  std::string disk = node.durable;
  const std::uint64_t share = random(5);  // of four: how much the disk got round to
  for (const Change& change : node.changes) {
    if (change.truncated_to.has_value()) {
      if (random(4) < share) {
        disk.resize(*change.truncated_to, '\0');
      }
      continue;
    }
    std::uint64_t at = 0;
    while (at < change.bytes.size()) {
      const std::uint64_t in_sector = kSector - (change.offset + at) % kSector;
      const std::uint64_t size = std::min<std::uint64_t>(in_sector, change.bytes.size() - at);
      if (random(4) < share) {
        const std::uint64_t kept = random(8) == 0 ? random(size + 1) : size;
        put_bytes(disk, change.offset + at, std::string_view(change.bytes).substr(at, kept));
      }
      at += size;
    }
  }
  // The size may be ahead of the bytes, or behind them.
  if (disk.size() < node.now.size() && random(2) == 0) {
    disk.resize(disk.size() + random(node.now.size() - disk.size() + 1), '\0');
  } else if (disk.size() > node.durable.size() && random(4) == 0) {
    disk.resize(node.durable.size() + random(disk.size() - node.durable.size() + 1));
  }
  node.now = std::move(disk);
}

void PowerLossFileSystem::lose_power() {
  off_ = true;
  cut_in_.reset();
  // In an order that only the seed decides.
  std::vector<NodePtr> nodes;
  const auto add = [&nodes](const NodePtr& node) {
    if (node != nullptr && std::ranges::find(nodes, node) == nodes.end()) {
      nodes.push_back(node);
    }
  };
  for (const auto& [path, node] : durable_names_) {
    add(node);
  }
  for (const NameChange& change : name_changes_) {
    add(change.node);
  }
  for (const NodePtr& node : nodes) {
    if (mode_ == Mode::kForget) {
      node->now = node->durable;
    } else {
      keep_some(*node);
    }
    node->durable = node->now;
    node->changes.clear();
  }
  const std::uint64_t share = mode_ == Mode::kForget ? 0 : random(5);
  for (const NameChange& change : name_changes_) {
    if (random(4) < share) {
      durable_names_.erase(change.removed);
      if (!change.added.empty()) {
        durable_names_[change.added] = change.node;
      }
    }
  }
  name_changes_.clear();
  names_ = durable_names_;
}

void PowerLossFileSystem::set_fault(Fault fault) {
  const MutexLock lock(mutex_);
  fault_ = std::move(fault);
}

void PowerLossFileSystem::set_capacity(std::uint64_t bytes) {
  const MutexLock lock(mutex_);
  capacity_ = bytes;
}

void PowerLossFileSystem::set_reserves(bool reserves) {
  const MutexLock lock(mutex_);
  reserves_ = reserves;
}

Status PowerLossFileSystem::reserve(const NodePtr& node, std::uint64_t life, std::uint64_t end) {
  const MutexLock lock(mutex_);
  if (off_ || life != life_) {
    return no_power();
  }
  const std::uint64_t size = node->now.size();
  if (end <= size || !reserves_) {
    return {};
  }
  if (bytes_in_all() + (end - size) > capacity_) {
    return {StatusCode::kExhausted, "reserve: no space left on device"};
  }
  ++operations_;
  node->now.resize(end, '\0');
  node->changes.push_back({0, {}, end});
  if (cut_in_.has_value() && (*cut_in_)-- == 0) {
    lose_power();
    return no_power();
  }
  return {};
}

std::vector<std::string> PowerLossFileSystem::files() const {
  const MutexLock lock(mutex_);
  std::vector<std::string> paths;
  for (const auto& [path, node] : names_) {
    paths.push_back(path);
  }
  return paths;
}

std::string PowerLossFileSystem::contents(const std::string& path) const {
  const MutexLock lock(mutex_);
  return names_.at(path)->now;
}

void PowerLossFileSystem::set_contents(const std::string& path, std::string bytes) {
  const MutexLock lock(mutex_);
  NodePtr& node = names_[path];
  if (node == nullptr) {
    node = std::make_shared<Node>();
  }
  durable_names_[path] = node;
  node->durable = bytes;
  node->now = std::move(bytes);
  node->changes.clear();
}

std::uint64_t PowerLossFileSystem::total_bytes() const {
  const MutexLock lock(mutex_);
  return bytes_in_all();
}

std::uint64_t PowerLossFileSystem::operations() const {
  const MutexLock lock(mutex_);
  return operations_;
}

Status PowerLossFileSystem::write(const NodePtr& node,
                                  std::uint64_t life,
                                  const std::string& path,
                                  std::uint64_t offset,
                                  std::string_view bytes) {
  const MutexLock lock(mutex_);
  if (life != life_) {
    return no_power();
  }
  Status status = begin(Op::kWrite, path);
  if (off_) {
    return status;
  }
  std::uint64_t done = bytes.size();
  if (!status.ok()) {
    done = random(bytes.size() + 1);
  } else if (offset + bytes.size() > node->now.size()) {
    const std::uint64_t used = bytes_in_all();
    const std::uint64_t growth = offset + bytes.size() - node->now.size();
    if (used + growth > capacity_) {
      status = Status(StatusCode::kExhausted, "write " + path + ": no space left on device");
      const std::uint64_t room = capacity_ > used ? capacity_ - used : 0;
      done = growth - room < bytes.size() ? bytes.size() - (growth - room) : 0;
    }
  }
  put_bytes(node->now, offset, bytes.substr(0, done));
  node->changes.push_back({offset, std::string(bytes.substr(0, done)), std::nullopt});
  if (cut_in_.has_value() && (*cut_in_)-- == 0) {
    lose_power();
    return no_power();
  }
  return status;
}

Status PowerLossFileSystem::truncate(const NodePtr& node,
                                     std::uint64_t life,
                                     const std::string& path,
                                     std::uint64_t size) {
  const MutexLock lock(mutex_);
  if (life != life_) {
    return no_power();
  }
  RETURN_IF_ERROR(begin(Op::kTruncate, path));
  node->now.resize(size, '\0');
  node->changes.push_back({0, {}, size});
  if (cut_in_.has_value() && (*cut_in_)-- == 0) {
    lose_power();
    return no_power();
  }
  return {};
}

Status PowerLossFileSystem::sync(const NodePtr& node, std::uint64_t life, const std::string& path) {
  const MutexLock lock(mutex_);
  if (life != life_) {
    return no_power();
  }
  Status status = begin(Op::kSync, path);
  if (off_) {
    return status;
  }
  if (cut_in_.has_value() && (*cut_in_)-- == 0) {
    lose_power();
    return no_power();
  }
  if (!status.ok()) {
    node->changes.clear();  // never written, and nobody is told a second time
    return status;
  }
  for (const Change& change : node->changes) {
    if (change.truncated_to.has_value()) {
      node->durable.resize(*change.truncated_to, '\0');
    } else {
      put_bytes(node->durable, change.offset, change.bytes);
    }
  }
  node->changes.clear();
  return {};
}

Result<std::size_t> PowerLossFileSystem::read(const NodePtr& node,
                                              std::uint64_t life,
                                              const std::string& path,
                                              std::uint64_t offset,
                                              std::span<char> buffer) {
  const MutexLock lock(mutex_);
  if (off_ || life != life_) {
    return no_power();
  }
  if (fault_) {
    RETURN_IF_ERROR(fault_(Op::kRead, path));
  }
  if (offset >= node->now.size()) {
    return std::size_t{0};
  }
  const std::size_t size = std::min<std::size_t>(buffer.size(), node->now.size() - offset);
  std::memcpy(buffer.data(), node->now.data() + offset, size);
  return size;
}

Result<std::uint64_t> PowerLossFileSystem::size(const NodePtr& node, std::uint64_t life) const {
  const MutexLock lock(mutex_);
  if (off_ || life != life_) {
    return no_power();
  }
  return std::uint64_t{node->now.size()};
}

}  // namespace feedvault::testing
