#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "broker/store/message.h"

namespace feedvault::broker::store {

/// The subjects of one log's messages, by number and by text. A subject without messages is
/// forgotten and its number given to another one, with a new generation. 32 bytes and its text a
/// subject, and at most 11 for finding it. Hashes are seeded, so that no publisher can choose
/// subjects that collide. Not thread-safe.
class SubjectTable {
 public:
  using Id = std::uint32_t;
  static constexpr Id kNone = 0xFFFFFFFF;

  struct Subject {
    StreamSeq first_seq = 0;
    StreamSeq last_seq = 0;
    std::uint32_t text_at = 0;  // in the arena, in units of 8 bytes
    std::uint32_t messages = 0;
    std::uint32_t generation = 0;
    std::uint16_t text_bytes = 0;
    bool used = false;
  };

  explicit SubjectTable(std::uint64_t hash_seed);

  /// Its number, or kNone.
  Id find(std::string_view text) const;
  /// Its number; new ones have no messages.
  Id find_or_add(std::string_view text);
  /// Forgets it. Requires: it has no messages.
  void release(Id id);

  Subject& at(Id id) { return blocks_[id / kBlock][id % kBlock]; }
  const Subject& at(Id id) const { return blocks_[id / kBlock][id % kBlock]; }
  /// Lives until the next change.
  std::string_view text(Id id) const;

  std::size_t size() const { return used_; }
  /// Numbers are below this; not all of them are used.
  Id id_end() const { return id_end_; }
  std::size_t memory_bytes() const;

 private:
  static constexpr std::size_t kBlock = 256;
  static constexpr std::size_t kArenaBlock = 1U << 16U;  // bytes; every text fits into one

  std::uint64_t hash(std::string_view text) const;
  std::size_t slot_of(std::string_view text) const;
  void grow();
  std::uint32_t store_text(std::string_view text);
  char* arena(std::uint32_t at) const;

  std::uint64_t seed_;
  std::vector<std::unique_ptr<Subject[]>> blocks_;
  std::vector<Id> free_ids_;
  std::vector<Id> slots_;  // open addressing, linear; a power of two; kNone is empty
  std::vector<std::unique_ptr<char[]>> arena_;
  std::uint32_t arena_used8_ = 0;          // of the last block
  std::vector<std::uint32_t> free_texts_;  // heads by size in units of 8 bytes; 0xFFFFFFFF: none
  Id id_end_ = 0;
  std::size_t used_ = 0;
};

}  // namespace feedvault::broker::store
