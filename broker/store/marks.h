#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "base/result.h"
#include "broker/store/file_system.h"

namespace feedvault::broker::store {

/// A few numbers in a file of fixed size, overwritten in place: slots in different sectors, of
/// which the newest whole one counts. Two are written in turn by durable writes, so that a torn one
/// harms only what was not promised yet; two others by passing writes, which can therefore never
/// spoil a durable one. Needs no space on a full disk. One thread at a time.
class SlotFile {
 public:
  using Values = std::array<std::uint64_t, 5>;

  struct Contents {
    std::uint64_t stream_id = 0;
    Values values{};
  };

  /// `magic` is 8 bytes. kNotFound when there is no file; `contents` stays empty when no slot is
  /// whole.
  static Result<std::unique_ptr<SlotFile>> open(FileSystem& fs,
                                                const std::string& path,
                                                std::string_view magic,
                                                std::optional<Contents>& contents);
  /// The file is durable, its name after sync_dir.
  static Result<std::unique_ptr<SlotFile>> create(FileSystem& fs,
                                                  const std::string& path,
                                                  std::string_view magic,
                                                  const Contents& contents);

  /// How many slots open() found neither whole nor untouched: flipped bits, or writes that a power
  /// cut tore. Others held what counts.
  std::size_t damaged_slots() const { return damaged_slots_; }

  /// On return it survives a power cut.
  Status write_durably(const Contents& contents);
  /// It survives a kill.
  Status write_passing(const Contents& contents);

 private:
  SlotFile(std::unique_ptr<File> file, std::string_view magic)
      : file_(std::move(file)), magic_(magic) {}

  std::unique_ptr<File> file_;
  std::string magic_;
  Status write(std::size_t slot, const Contents& contents);

  std::size_t damaged_slots_ = 0;
  std::uint64_t generation_ = 0;
  std::size_t durable_slot_ = 0;  // the next one of each kind goes there
  std::size_t passing_slot_ = 2;
};

}  // namespace feedvault::broker::store
