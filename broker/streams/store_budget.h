#pragma once

#include <cstdint>

namespace feedvault::broker::streams {

/// What all streams of one kind of storage may hold together: the server's max_file_store or
/// max_memory_store. Counts as the API's `bytes` does, messages that exist and not what their files
/// take. Each stream keeps its share up to date. One thread.
class StoreBudget {
 public:
  explicit StoreBudget(std::uint64_t bytes_max) : bytes_max_(bytes_max) {}
  ~StoreBudget() = default;
  StoreBudget(const StoreBudget&) = delete;
  StoreBudget& operator=(const StoreBudget&) = delete;

  bool has_room_for(std::uint64_t bytes) const { return used_ + bytes <= bytes_max_; }
  /// A stream that held `before` holds `now`.
  void change(std::uint64_t before, std::uint64_t now) { used_ += now - before; }
  std::uint64_t used() const { return used_; }

 private:
  const std::uint64_t bytes_max_;
  std::uint64_t used_ = 0;
};

}  // namespace feedvault::broker::streams
