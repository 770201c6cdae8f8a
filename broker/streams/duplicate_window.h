#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "broker/store/message.h"

namespace feedvault::broker::streams {

using store::StreamSeq;

/// The Nats-Msg-Ids of the last minutes and the messages that had them: what comes again within the
/// window is a duplicate. Ids leave in the order in which they came. At most 64 bytes an id,
/// however long it is: it is kept as 128 bits of SipHash with a random key, so that no publisher
/// can make two ids the same, or many that collide. Bounded by the window times the rate of
/// publishing, as in nats-server. One thread. Times are Unix nanoseconds that never fall.
///
/// Ids that were saved are searched where they lie, so a start with millions of them takes no
/// longer than reading their file. They leave memory all at once, when the last of them is too old.
class DuplicateWindow {
 public:
  DuplicateWindow();

  /// The message that had this id, or 0.
  StreamSeq find(std::string_view id) const;
  /// Adds it, unless it is there already: then the first one stays.
  void add(std::string_view id, StreamSeq seq, std::int64_t time_ns);
  /// Makes room for so many more at once.
  void reserve(std::size_t more);
  /// Forgets what came before `time_ns`.
  void expire_before(std::int64_t time_ns);

  /// Appends all that is in it to `out`, some 33 bytes an id: docs/file_format.md.
  void save(std::string& out) const;
  /// What save() made, as bytes of a file that were read into memory.
  struct Saved {
    std::unique_ptr<char[]> bytes;
    std::string_view text;  // points into them
  };
  /// Takes what was saved, but for what came before `time_ns`. False: it is not whole, and nothing
  /// was taken. Requires: it is empty.
  bool load(Saved saved, std::int64_t time_ns);

  /// No id is in it.
  bool empty() const { return entries_.empty() && saved_.count == 0; }
  /// Before this is too old, expire_before() has nothing to do. Requires: !empty().
  std::int64_t next_to_go_ns() const {
    return entries_.empty() || saved_.count > 0 ? saved_.newest_ns : entries_.front().time_ns;
  }

 private:
  using Hash = std::array<std::uint64_t, 2>;
  struct Entry {
    Hash hash{};
    StreamSeq seq = 0;
    std::int64_t time_ns = 0;
  };
  // A slot holds an entry's number (its low bits) and some bits of the hash, so that a search
  // seldom has to look at entries that are not the right one.
  static constexpr unsigned kNumberBits = 40;
  static constexpr std::uint64_t kNumberMask = (std::uint64_t{1} << kNumberBits) - 1;
  static constexpr std::uint64_t kFree = ~std::uint64_t{0};

  Hash hash_of(std::string_view id) const;
  static std::uint64_t slot_for(std::uint64_t number, const Hash& hash) {
    return hash[1] << kNumberBits | (number & kNumberMask);
  }
  const Entry& entry_of(std::uint64_t slot) const {
    return entries_[static_cast<std::size_t>((slot - first_) & kNumberMask)];
  }
  /// By the first bits of their hashes: `directory` says where each group of entries begins.
  struct SavedIds {
    std::unique_ptr<char[]> bytes;
    const char* directory = nullptr;
    const char* entries = nullptr;
    std::size_t count = 0;
    unsigned group_bits = 0;
    std::int64_t newest_ns = 0;
    std::int64_t since_ns = 0;  // older ones are forgotten

    std::size_t group_of(const Hash& hash) const {
      return group_bits == 0 ? 0 : static_cast<std::size_t>(hash[0] >> (64 - group_bits));
    }
    std::size_t begin_of(std::size_t group) const;
    Entry entry(std::size_t i) const;
  };

  StreamSeq find(const Hash& hash) const;
  StreamSeq find_saved(const Hash& hash) const;
  std::size_t home_of(const Hash& hash) const {
    return static_cast<std::size_t>(hash[0]) & (slots_.size() - 1);
  }
  void put(std::uint64_t slot, const Hash& hash);
  void take_out_first();
  void resize(std::size_t slots);

  Hash key_{};
  std::deque<Entry> entries_;  // the first one has the number first_
  std::uint64_t first_ = 0;
  std::vector<std::uint64_t> slots_;  // open addressing, linear; a power of two
  SavedIds saved_;
};

}  // namespace feedvault::broker::streams
