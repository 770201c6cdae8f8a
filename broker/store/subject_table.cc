#include "broker/store/subject_table.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "broker/store/format.h"

namespace feedvault::broker::store {
namespace {

constexpr std::size_t kSlotsAtFirst = 64;

// The length is one byte before the text, or three: 255 and two for those that are longer.
constexpr std::size_t kShortMax = 254;

std::size_t length_bytes(std::size_t text_bytes) {
  return text_bytes <= kShortMax ? 1 : 3;
}

std::size_t text_units(std::size_t text_bytes) {
  return (length_bytes(text_bytes) + text_bytes + 3) / 4;
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
  Id id = free_id_;
  if (id != kNone) {
    free_id_ = at(id).where;
  } else {
    id = id_end_;
    if (id / kBlock == blocks_.size()) {
      blocks_.push_back(std::make_unique<Block>());
    }
    ++id_end_;
  }
  at(id) = {store_text(wanted), kNoMessages};
  slots_[slot] = id;
  ++used_;
  return id;
}

SubjectTable::Messages SubjectTable::messages(Id id) const {
  const std::uint32_t where = at(id).where;
  if ((where & kSeveral) != 0) {
    return several(where & ~kSeveral);
  }
  if (where == kNoMessages) {
    return {};
  }
  const StreamSeq seq = blocks_[id / kBlock]->base + where;
  return {seq, seq, 1};
}

void SubjectTable::set_messages(Id id, const Messages& messages) {
  Subject& subject = at(id);
  StreamSeq& base = blocks_[id / kBlock]->base;
  base = base == 0 ? messages.first_seq : base;
  const bool near = messages.first_seq >= base && messages.first_seq - base < kNoMessages;
  if (messages.count == 1 && near) {
    drop_several(subject);
    subject.where = static_cast<std::uint32_t>(messages.first_seq - base);
    return;
  }
  if ((subject.where & kSeveral) == 0) {
    subject.where = kSeveral | add_several();
  }
  several(subject.where & ~kSeveral) = messages;
}

std::uint32_t SubjectTable::add_several() {
  const std::uint32_t free = free_several_;
  if (free != kNone) {
    free_several_ = static_cast<std::uint32_t>(several(free).first_seq);
    return free;
  }
  if (several_end_ / kBlock == several_.size()) {
    several_.push_back(std::make_unique<Messages[]>(kBlock));
  }
  return several_end_++;
}

void SubjectTable::drop_several(Subject& subject) {
  if ((subject.where & kSeveral) != 0) {
    const std::uint32_t i = subject.where & ~kSeveral;
    several(i).first_seq = free_several_;
    free_several_ = i;
    subject.where = kNoMessages;
  }
}

void SubjectTable::release(Id id) {
  Subject& subject = at(id);
  CHECK(subject.text_at != kNoText);
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
  const std::size_t units = text_units(text(id).size());
  if (units >= free_texts_.size()) {
    free_texts_.resize(units + 1, kNoText);
  }
  put(arena(subject.text_at), free_texts_[units]);
  free_texts_[units] = subject.text_at;
  drop_several(subject);
  if (id >= generations_.size()) {
    generations_.resize(std::min<std::size_t>(id_end_, id + 1 + id / 8));
  }
  // Two bits are the filter's own.
  generations_[id] = (generations_[id] + 1) & 0x3FFFFFFFU;
  subject = {kNoText, free_id_};
  free_id_ = id;
  --used_;
}

std::string_view SubjectTable::text(Id id) const {
  const char* const from = arena(at(id).text_at);
  const auto size = static_cast<unsigned char>(*from);
  return size <= kShortMax ? std::string_view(from + 1, size)
                           : std::string_view(from + 3, load<std::uint16_t>(from + 1));
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
  constexpr auto kUnitsOfBlock = static_cast<std::uint32_t>(kArenaBlock / kTextUnit);
  const auto units = static_cast<std::uint32_t>(text_units(text.size()));
  std::uint32_t at = units < free_texts_.size() ? free_texts_[units] : kNoText;
  if (at != kNoText) {
    free_texts_[units] = load<std::uint32_t>(arena(at));
  } else {
    if (arena_.empty() || arena_used_ + units > kUnitsOfBlock) {
      arena_.push_back(std::make_unique_for_overwrite<char[]>(kArenaBlock));
      arena_used_ = 0;
    }
    at = static_cast<std::uint32_t>(arena_.size() - 1) * kUnitsOfBlock + arena_used_;
    arena_used_ += units;
  }
  char* const to = arena(at);
  if (text.size() <= kShortMax) {
    *to = static_cast<char>(text.size());
  } else {
    *to = static_cast<char>(0xFF);
    put(to + 1, static_cast<std::uint16_t>(text.size()));
  }
  std::memcpy(to + length_bytes(text.size()), text.data(), text.size());
  return at;
}

char* SubjectTable::arena(std::uint32_t at) const {
  constexpr std::uint32_t kUnitsOfBlock = kArenaBlock / kTextUnit;
  return arena_[at / kUnitsOfBlock].get() + std::size_t{at % kUnitsOfBlock} * kTextUnit;
}

std::size_t SubjectTable::memory_bytes() const {
  return blocks_.size() * sizeof(Block) + several_.size() * kBlock * sizeof(Messages) +
         slots_.capacity() * sizeof(Id) + generations_.capacity() * sizeof(std::uint32_t) +
         arena_.size() * kArenaBlock + free_texts_.capacity() * sizeof(std::uint32_t);
}

}  // namespace feedvault::broker::store
