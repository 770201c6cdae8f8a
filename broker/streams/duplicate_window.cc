#include "broker/streams/duplicate_window.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <numeric>
#include <utility>

#include "base/random.h"
#include "broker/store/format.h"

namespace feedvault::broker::streams {
namespace {

constexpr std::size_t kSlotsMin = 64;
constexpr std::size_t kSavedHeadBytes = 40;
constexpr std::size_t kSavedEntryBytes = 32;
constexpr std::size_t kSavedGroup = 8;  // entries, at least, on average

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
  return empty() ? 0 : find(hash_of(id));
}

StreamSeq DuplicateWindow::find(const Hash& hash) const {
  const std::uint64_t tag = slot_for(0, hash) & ~kNumberMask;
  for (std::size_t i = home_of(hash); slots_[i] != kFree; i = (i + 1) & (slots_.size() - 1)) {
    if ((slots_[i] & ~kNumberMask) == tag && entry_of(slots_[i]).hash == hash) {
      return entry_of(slots_[i]).seq;
    }
  }
  return saved_.count == 0 ? 0 : find_saved(hash);
}

StreamSeq DuplicateWindow::find_saved(const Hash& hash) const {
  const std::size_t group = saved_.group_of(hash);
  for (std::size_t i = saved_.begin_of(group), end = saved_.begin_of(group + 1); i < end; ++i) {
    if (const Entry entry = saved_.entry(i); entry.hash == hash) {
      return entry.time_ns < saved_.since_ns ? 0 : entry.seq;
    }
  }
  return 0;
}

std::size_t DuplicateWindow::SavedIds::begin_of(std::size_t group) const {
  return store::load<std::uint32_t>(directory + group * sizeof(std::uint32_t));
}

DuplicateWindow::Entry DuplicateWindow::SavedIds::entry(std::size_t i) const {
  const char* const at = entries + i * kSavedEntryBytes;
  return {{store::load<std::uint64_t>(at), store::load<std::uint64_t>(at + 8)},
          store::load<std::uint64_t>(at + 16),
          static_cast<std::int64_t>(store::load<std::uint64_t>(at + 24))};
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
  saved_.since_ns = std::max(saved_.since_ns, time_ns);
  if (saved_.count > 0 && saved_.newest_ns < saved_.since_ns) {
    saved_ = {};
  }
}

//   0  key 16 | count 8 | bits of a group's number 8 | newest time 8
//  40  directory: where each group begins, and the end, 4 each
//      entries by group: hash 16 | number 8 | time 8
void DuplicateWindow::save(std::string& out) const {
  std::vector<Entry> all;
  all.reserve(saved_.count + entries_.size());
  for (std::size_t i = 0; i < saved_.count; ++i) {
    if (const Entry entry = saved_.entry(i); entry.time_ns >= saved_.since_ns) {
      all.push_back(entry);
    }
  }
  all.insert(all.end(), entries_.begin(), entries_.end());
  SavedIds made;
  made.group_bits = static_cast<unsigned>(std::bit_width(all.size() / kSavedGroup));
  std::vector<std::uint32_t> begins((std::size_t{1} << made.group_bits) + 1);
  std::int64_t newest_ns = 0;
  for (const Entry& entry : all) {
    ++begins[made.group_of(entry.hash) + 1];
    newest_ns = std::max(newest_ns, entry.time_ns);
  }
  std::partial_sum(begins.begin(), begins.end(), begins.begin());
  const std::size_t directory = out.size() + kSavedHeadBytes;
  const std::size_t entries = directory + begins.size() * sizeof(std::uint32_t);
  std::size_t at = out.size();
  out.resize(entries + all.size() * kSavedEntryBytes);
  for (const std::uint64_t number : {key_[0],
                                     key_[1],
                                     std::uint64_t{all.size()},
                                     std::uint64_t{made.group_bits},
                                     static_cast<std::uint64_t>(newest_ns)}) {
    store::put(out.data() + at, number);
    at += sizeof number;
  }
  std::memcpy(out.data() + at, begins.data(), entries - directory);
  for (const Entry& entry : all) {
    at = entries + kSavedEntryBytes * begins[made.group_of(entry.hash)]++;
    store::put(out.data() + at, entry.hash[0]);
    store::put(out.data() + at + 8, entry.hash[1]);
    store::put(out.data() + at + 16, entry.seq);
    store::put(out.data() + at + 24, static_cast<std::uint64_t>(entry.time_ns));
  }
}

bool DuplicateWindow::load(Saved saved, std::int64_t time_ns) {
  std::string_view text = saved.text;
  if (text.size() < kSavedHeadBytes) {
    return false;
  }
  const auto number = [&](std::size_t at) { return store::load<std::uint64_t>(text.data() + at); };
  SavedIds ids;
  const Hash key{number(0), number(8)};
  const std::uint64_t count = number(16);
  const std::uint64_t group_bits = number(24);
  ids.newest_ns = static_cast<std::int64_t>(number(32));
  ids.since_ns = time_ns;
  text.remove_prefix(kSavedHeadBytes);
  if (group_bits > 32 || count > text.size() / kSavedEntryBytes) {
    return false;
  }
  ids.group_bits = static_cast<unsigned>(group_bits);
  ids.count = static_cast<std::size_t>(count);
  const std::size_t groups = std::size_t{1} << group_bits;
  const std::size_t directory_bytes = (groups + 1) * sizeof(std::uint32_t);
  if (text.size() != directory_bytes + ids.count * kSavedEntryBytes) {
    return false;
  }
  ids.directory = text.data();
  ids.entries = text.data() + directory_bytes;
  for (std::size_t group = 0; group < groups; ++group) {
    if (ids.begin_of(group) > ids.begin_of(group + 1)) {
      return false;
    }
  }
  if (ids.begin_of(0) != 0 || ids.begin_of(groups) != ids.count) {
    return false;
  }
  if (ids.count > 0 && ids.newest_ns >= time_ns) {
    key_ = key;
    ids.bytes = std::move(saved.bytes);
    saved_ = std::move(ids);
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
