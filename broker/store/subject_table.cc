#include "broker/store/subject_table.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "broker/store/format.h"

namespace feedvault::broker::store {
namespace {

constexpr std::uint32_t kNoText = 0xFFFFFFFF;
constexpr std::size_t kSlotsAtFirst = 64;

std::size_t text_units(std::size_t bytes) {
  return (bytes + 7) / 8;
}

std::uint64_t mix(std::uint64_t a, std::uint64_t b) {
  __extension__ using Wide = unsigned __int128;
  const Wide product = static_cast<Wide>(a) * b;
  return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64U);
}

}  // namespace

SubjectTable::SubjectTable(std::uint64_t hash_seed)
    : seed_(hash_seed), slots_(kSlotsAtFirst, kNone) {}

// Multiplies 128 bits wide and folds, 16 bytes a step, as wyhash and its kin do.
std::uint64_t SubjectTable::hash(std::string_view text) const {
  constexpr std::uint64_t kOdd1 = 0x9E3779B97F4A7C15U;
  constexpr std::uint64_t kOdd2 = 0xD1B54A32D192ED03U;
  std::uint64_t state = seed_ ^ mix(text.size() + kOdd1, kOdd2);
  const char* at = text.data();
  std::size_t left = text.size();
  for (; left > 16; at += 16, left -= 16) {
    state = mix(load<std::uint64_t>(at) ^ kOdd1 ^ seed_, load<std::uint64_t>(at + 8) ^ state);
  }
  char tail[16] = {};
  if (left > 0) {
    std::memcpy(tail, at, left);
  }
  return mix(load<std::uint64_t>(tail) ^ kOdd2 ^ seed_, load<std::uint64_t>(tail + 8) ^ state);
}

/// The slot that holds `text`, or the empty one where it belongs.
std::size_t SubjectTable::slot_of(std::string_view wanted) const {
  const std::size_t mask = slots_.size() - 1;
  std::size_t slot = hash(wanted) & mask;
  while (slots_[slot] != kNone && text(slots_[slot]) != wanted) {
    slot = (slot + 1) & mask;
  }
  return slot;
}

SubjectTable::Id SubjectTable::find(std::string_view wanted) const {
  return slots_[slot_of(wanted)];
}

SubjectTable::Id SubjectTable::find_or_add(std::string_view wanted) {
  std::size_t slot = slot_of(wanted);
  if (slots_[slot] != kNone) {
    return slots_[slot];
  }
  if ((used_ + 1) * 4 > slots_.size() * 3) {
    grow();
    slot = slot_of(wanted);
  }
  Id id = id_end_;
  if (!free_ids_.empty()) {
    id = free_ids_.back();
    free_ids_.pop_back();
  } else {
    if (id / kBlock == blocks_.size()) {
      blocks_.push_back(std::make_unique<Subject[]>(kBlock));
    }
    ++id_end_;
  }
  Subject& subject = at(id);
  const std::uint32_t generation = subject.generation;
  subject = {};
  // Two bits are the filter's own.
  subject.generation = (generation + 1) & 0x3FFFFFFFU;
  subject.text_at = store_text(wanted);
  subject.text_bytes = static_cast<std::uint16_t>(wanted.size());
  subject.used = true;
  slots_[slot] = id;
  ++used_;
  return id;
}

void SubjectTable::release(Id id) {
  Subject& subject = at(id);
  CHECK(subject.used && subject.messages == 0);
  const std::size_t mask = slots_.size() - 1;
  std::size_t hole = slot_of(text(id));
  CHECK(slots_[hole] == id);
  slots_[hole] = kNone;
  // What follows may sit behind the hole only because it was taken: move it up.
  for (std::size_t slot = (hole + 1) & mask; slots_[slot] != kNone; slot = (slot + 1) & mask) {
    const std::size_t home = hash(text(slots_[slot])) & mask;
    if (((slot - home) & mask) >= ((slot - hole) & mask)) {
      slots_[hole] = slots_[slot];
      slots_[slot] = kNone;
      hole = slot;
    }
  }
  const std::size_t units = text_units(subject.text_bytes);
  if (units >= free_texts_.size()) {
    free_texts_.resize(units + 1, kNoText);
  }
  put(arena(subject.text_at), free_texts_[units]);
  free_texts_[units] = subject.text_at;
  subject.used = false;
  free_ids_.push_back(id);
  --used_;
}

std::string_view SubjectTable::text(Id id) const {
  const Subject& subject = at(id);
  return {arena(subject.text_at), subject.text_bytes};
}

void SubjectTable::grow() {
  std::vector<Id> old(slots_.size() * 2, kNone);
  old.swap(slots_);
  const std::size_t mask = slots_.size() - 1;
  for (const Id id : old) {
    if (id != kNone) {
      std::size_t slot = hash(text(id)) & mask;
      while (slots_[slot] != kNone) {
        slot = (slot + 1) & mask;
      }
      slots_[slot] = id;
    }
  }
}

std::uint32_t SubjectTable::store_text(std::string_view text) {
  constexpr auto kUnitsOfBlock = static_cast<std::uint32_t>(kArenaBlock / 8);
  const auto units = static_cast<std::uint32_t>(text_units(text.size()));
  std::uint32_t at = units < free_texts_.size() ? free_texts_[units] : kNoText;
  if (at != kNoText) {
    free_texts_[units] = load<std::uint32_t>(arena(at));
  } else {
    if (arena_.empty() || arena_used8_ + units > kUnitsOfBlock) {
      arena_.push_back(std::make_unique_for_overwrite<char[]>(kArenaBlock));
      arena_used8_ = 0;
    }
    at = static_cast<std::uint32_t>(arena_.size() - 1) * kUnitsOfBlock + arena_used8_;
    arena_used8_ += units;
  }
  std::memcpy(arena(at), text.data(), text.size());
  return at;
}

char* SubjectTable::arena(std::uint32_t at) const {
  constexpr std::uint32_t kUnitsOfBlock = kArenaBlock / 8;
  return arena_[at / kUnitsOfBlock].get() + std::size_t{at % kUnitsOfBlock} * 8;
}

std::size_t SubjectTable::memory_bytes() const {
  return blocks_.size() * kBlock * sizeof(Subject) + slots_.capacity() * sizeof(Id) +
         free_ids_.capacity() * sizeof(Id) + arena_.size() * kArenaBlock +
         free_texts_.capacity() * sizeof(std::uint32_t);
}

}  // namespace feedvault::broker::store
