#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <thread>

#include "broker/store/file_system.h"

namespace feedvault::broker::streams {

/// The duplicate window as a stop left it, on its way into memory: docs/file_format.md. A large one
/// is read and checked on a thread of its own, which takes as long as opening the stream's log:
/// whoever has begun it does that meanwhile. One thread; the destructor waits.
class IdsFile {
 public:
  static constexpr std::string_view kMagic = "FVIDSET2";
  static constexpr std::size_t kHeadBytes = 32;
  static constexpr std::size_t kChecksumAt = 8;
  static constexpr std::size_t kCheckedFrom = 12;

  /// Begins. `fs` must outlive it.
  IdsFile(store::FileSystem& fs, const std::string& path);
  ~IdsFile();
  IdsFile(const IdsFile&) = delete;
  IdsFile& operator=(const IdsFile&) = delete;

  struct Contents {
    std::unique_ptr<char[]> bytes;
    std::string_view text;  // all of them, from the magic on; empty: there is no whole file
  };
  /// Once. Blocks.
  Contents take();

 private:
  void read();

  std::unique_ptr<store::File> file_;  // null: none
  std::size_t size_ = 0;
  Contents contents_;
  std::thread thread_;  // last: what it reads and writes is above
};

}  // namespace feedvault::broker::streams
