#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "broker/store/message.h"

namespace feedvault::broker::store {

/// The subjects of one log's messages, by number and by text. A subject without messages is
/// forgotten and its number given to another one, with a new generation. A subject with one message
/// takes 8 bytes, one with several 32, and each its text, a byte, what rounds that up to a multiple
/// of 4, and at most 11 bytes for finding it; a number that was given up once takes 4 more. Hashes
/// are seeded, so that no publisher can choose subjects that collide. Not thread-safe.
class SubjectTable {
 public:
  using Id = std::uint32_t;
  static constexpr Id kNone = 0xFFFFFFFF;

  /// Which messages it has.
  struct Messages {
    StreamSeq first_seq = 0;
    StreamSeq last_seq = 0;
    std::uint32_t count = 0;
  };

  explicit SubjectTable(std::uint64_t hash_seed);

  /// Its number, or kNone.
  Id find(std::string_view text) const;
  /// Its number; new ones have no messages.
  Id find_or_add(std::string_view text);
  /// Forgets it.
  void release(Id id);

  bool used(Id id) const { return at(id).text_at != kNoText; }
  /// Requires, as all below: it is used.
  Messages messages(Id id) const;
  void set_messages(Id id, const Messages& messages);
  /// Lives until the next change.
  std::string_view text(Id id) const;
  /// Another one each time that the number is used again; at most 30 bits.
  std::uint32_t generation(Id id) const { return id < generations_.size() ? generations_[id] : 0; }

  std::size_t size() const { return used_; }
  /// Numbers are below this; not all of them are used.
  Id id_end() const { return id_end_; }
  std::size_t memory_bytes() const;

 private:
  static constexpr std::size_t kBlock = 256;
  // Every text fits into one, with its length before it.
  static constexpr std::size_t kArenaBlock = 68U << 10U;
  static constexpr std::size_t kTextUnit = 4;
  static constexpr std::uint32_t kNoText = 0xFFFFFFFF;
  // What `where` can be besides a distance.
  static constexpr std::uint32_t kNoMessages = 0x7FFFFFFF;
  static constexpr std::uint32_t kSeveral = 0x80000000;  // and an index into several_

  struct Subject {
    std::uint32_t text_at = kNoText;  // in the arena, in units
    /// Its only message, from its block's base; or as above; or, unused, the next unused one.
    std::uint32_t where = kNoMessages;
  };
  struct Block {
    StreamSeq base = 0;  // 0: none yet
    std::array<Subject, kBlock> subjects;
  };

  Subject& at(Id id) { return blocks_[id / kBlock]->subjects[id % kBlock]; }
  const Subject& at(Id id) const { return blocks_[id / kBlock]->subjects[id % kBlock]; }
  Messages& several(std::uint32_t i) const { return several_[i / kBlock][i % kBlock]; }
  std::uint32_t add_several();
  void drop_several(Subject& subject);
  std::uint64_t hash(std::string_view text) const;
  std::size_t slot_of(std::string_view text) const;
  void grow();
  std::uint32_t store_text(std::string_view text);
  char* arena(std::uint32_t at) const;

  std::uint64_t seed_;
  std::vector<std::unique_ptr<Block>> blocks_;
  std::vector<std::unique_ptr<Messages[]>> several_;
  std::uint32_t several_end_ = 0;
  std::uint32_t free_several_ = kNone;      // the first one; first_seq of each is the next
  Id free_id_ = kNone;                      // likewise, by `where`
  std::vector<std::uint32_t> generations_;  // of numbers below the highest that was given up
  std::vector<Id> slots_;  // open addressing, linear; a power of two; kNone is empty
  std::vector<std::unique_ptr<char[]>> arena_;
  std::uint32_t arena_used_ = 0;           // units of the last block
  std::vector<std::uint32_t> free_texts_;  // heads by size in units; kNoText: none
  Id id_end_ = 0;
  std::size_t used_ = 0;
};

}  // namespace feedvault::broker::store
