#include "broker/streams/duplicate_window.h"

#include <bit>
#include <cstring>

#include "base/random.h"
#include "broker/store/format.h"

namespace feedvault::broker::streams {
namespace {

constexpr std::size_t kSlotsMin = 64;
constexpr std::size_t kSavedHeadBytes = 24;
constexpr std::size_t kSavedEntryBytes = 32;
// Slots are all over the memory: they are fetched so many entries ahead.
constexpr std::size_t kFetchAhead = 8;

/// SipHash-1-3 with 128 bits of output (Aumasson, Bernstein).
struct Sip {
  std::uint64_t v0;
  std::uint64_t v1;
  std::uint64_t v2;
  std::uint64_t v3;

  void rounds(int count) {
    for (; count > 0; --count) {
      v0 += v1;
      v1 = std::rotl(v1, 13) ^ v0;
      v0 = std::rotl(v0, 32);
      v2 += v3;
      v3 = std::rotl(v3, 16) ^ v2;
      v0 += v3;
      v3 = std::rotl(v3, 21) ^ v0;
      v2 += v1;
      v1 = std::rotl(v1, 17) ^ v2;
      v2 = std::rotl(v2, 32);
    }
  }
  void word(std::uint64_t m) {
    v3 ^= m;
    rounds(1);
    v0 ^= m;
  }
};

}  // namespace

DuplicateWindow::DuplicateWindow() : slots_(kSlotsMin, kFree) {
  fill_random(key_.data(), sizeof(key_));
}

DuplicateWindow::Hash DuplicateWindow::hash_of(std::string_view id) const {
  Sip sip{key_[0] ^ 0x736f6d6570736575U,
          key_[1] ^ 0x646f72616e646f6dU ^ 0xeeU,
          key_[0] ^ 0x6c7967656e657261U,
          key_[1] ^ 0x7465646279746573U};
  const std::uint64_t length = std::uint64_t{id.size()} << 56U;
  std::uint64_t m = 0;
  for (; id.size() >= sizeof(m); id.remove_prefix(sizeof(m))) {
    std::memcpy(&m, id.data(), sizeof(m));
    sip.word(m);
  }
  m = 0;
  if (!id.empty()) {
    std::memcpy(&m, id.data(), id.size());
  }
  sip.word(m | length);
  sip.v2 ^= 0xeeU;
  sip.rounds(3);
  const std::uint64_t low = sip.v0 ^ sip.v1 ^ sip.v2 ^ sip.v3;
  sip.v1 ^= 0xddU;
  sip.rounds(3);
  return {low, sip.v0 ^ sip.v1 ^ sip.v2 ^ sip.v3};
}

StreamSeq DuplicateWindow::find(std::string_view id) const {
  return entries_.empty() ? 0 : find(hash_of(id));
}

StreamSeq DuplicateWindow::find(const Hash& hash) const {
  const std::uint64_t tag = slot_for(0, hash) & ~kNumberMask;
  for (std::size_t i = home_of(hash); slots_[i] != kFree; i = (i + 1) & (slots_.size() - 1)) {
    if ((slots_[i] & ~kNumberMask) == tag && entry_of(slots_[i]).hash == hash) {
      return entry_of(slots_[i]).seq;
    }
  }
  return 0;
}

void DuplicateWindow::add(std::string_view id, StreamSeq seq, std::int64_t time_ns) {
  const Hash hash = hash_of(id);
  if (find(hash) != 0) {
    return;
  }
  reserve(1);
  entries_.push_back({hash, seq, time_ns});
  put(slot_for(first_ + entries_.size() - 1, hash), hash);
}

void DuplicateWindow::reserve(std::size_t more) {
  if (const std::size_t wanted = (entries_.size() + more) * 2; wanted > slots_.size()) {
    resize(std::bit_ceil(wanted));
  }
}

void DuplicateWindow::put(std::uint64_t slot, const Hash& hash) {
  std::size_t i = home_of(hash);
  while (slots_[i] != kFree) {
    i = (i + 1) & (slots_.size() - 1);
  }
  slots_[i] = slot;
}

void DuplicateWindow::resize(std::size_t slots) {
  slots_.assign(slots, kFree);
  std::uint64_t number = first_;
  for (const Entry& entry : entries_) {
    put(slot_for(number++, entry.hash), entry.hash);
  }
}

void DuplicateWindow::expire_before(std::int64_t time_ns) {
  while (!entries_.empty() && entries_.front().time_ns < time_ns) {
    take_out_first();
    entries_.pop_front();
    ++first_;
  }
  if (entries_.empty() && slots_.size() > kSlotsMin) {
    // A burst's memory does not stay.
    slots_ = std::vector<std::uint64_t>(kSlotsMin, kFree);
    entries_.shrink_to_fit();
  }
}

void DuplicateWindow::save(std::string& out) const {
  std::size_t at = out.size();
  out.resize(at + kSavedHeadBytes + entries_.size() * kSavedEntryBytes);
  const auto put_number = [&](std::uint64_t number) {
    store::put(out.data() + at, number);
    at += sizeof number;
  };
  put_number(key_[0]);
  put_number(key_[1]);
  put_number(entries_.size());
  for (const Entry& entry : entries_) {
    put_number(entry.hash[0]);
    put_number(entry.hash[1]);
    put_number(entry.seq);
    put_number(static_cast<std::uint64_t>(entry.time_ns));
  }
}

bool DuplicateWindow::load(std::string_view saved, std::int64_t time_ns) {
  const auto number = [&](std::size_t at) { return store::load<std::uint64_t>(saved.data() + at); };
  if (saved.size() < kSavedHeadBytes || saved.size() % kSavedEntryBytes != kSavedHeadBytes ||
      number(16) != saved.size() / kSavedEntryBytes) {
    return false;
  }
  const Hash key{number(0), number(8)};
  saved.remove_prefix(kSavedHeadBytes);
  while (!saved.empty() && static_cast<std::int64_t>(number(24)) < time_ns) {
    saved.remove_prefix(kSavedEntryBytes);
  }
  const std::size_t count = saved.size() / kSavedEntryBytes;
  if (count == 0) {
    return true;
  }
  key_ = key;
  reserve(count);
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t at = i * kSavedEntryBytes;
    if (i + kFetchAhead < count) {
      const Hash ahead{number(at + kFetchAhead * kSavedEntryBytes), 0};
      __builtin_prefetch(&slots_[home_of(ahead)], 1);
    }
    const Entry& entry = entries_.emplace_back(Entry{
        {number(at), number(at + 8)}, number(at + 16), static_cast<std::int64_t>(number(at + 24))});
    put(slot_for(first_ + i, entry.hash), entry.hash);
  }
  return true;
}

/// Frees the first entry's slot and moves back what would not be found any more.
void DuplicateWindow::take_out_first() {
  const std::size_t mask = slots_.size() - 1;
  const std::uint64_t slot = slot_for(first_, entries_.front().hash);
  std::size_t hole = home_of(entries_.front().hash);
  while (slots_[hole] != slot) {
    hole = (hole + 1) & mask;
  }
  for (std::size_t i = (hole + 1) & mask; slots_[i] != kFree; i = (i + 1) & mask) {
    const std::size_t home = home_of(entry_of(slots_[i]).hash);
    // May move if its home is not within (hole, i], going round.
    if (((i - home) & mask) >= ((i - hole) & mask)) {
      slots_[hole] = slots_[i];
      hole = i;
    }
  }
  slots_[hole] = kFree;
}

}  // namespace feedvault::broker::streams
