#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/status.h"
#include "broker/limits.h"
#include "broker/subscription.h"

namespace feedvault::broker {

// Subjects are tokens separated by dots. In a filter the whole token `*` stands for any one token,
// and `>` as the last one for one or more.

/// Can this be subscribed to? No empty token, `>` only at the end, at most kFilterTokensMax tokens.
/// Stars within words are literal.
bool is_valid_filter(std::string_view filter);
/// Can it be published to, strictly: valid, and no wildcard token? (Only pedantic clients care.)
bool is_valid_literal(std::string_view subject);
/// Any empty token? Such a subject reaches nobody.
bool has_empty_token(std::string_view subject);
/// Tokens of a subject: dots and one.
std::size_t token_count(std::string_view subject);

/// Hashes of client-chosen text are seeded with a number of this process, so that nobody can choose
/// what collides.
std::uint64_t hash_text(std::string_view text, std::uint64_t seed);
std::uint64_t process_hash_seed();

/// Members of one queue group that a subject reaches.
using QueueMembers = std::vector<Subscription*>;

/// What a subject reaches: all of `plain`, and one member of each of `queues` (one entry a queue
/// name, whatever filters its members used; never empty ones).
struct MatchResult {
  std::vector<Subscription*> plain;
  std::vector<QueueMembers> queues;
  std::size_t work = 0;  // nodes and subscriptions looked at to find this
  bool empty() const { return plain.empty() && queues.empty(); }
  void clear();
};

/// Changes with every subscription that could concern a subject with the same first token.
struct Generation {
  std::uint64_t first_token = 0;
  std::uint64_t wildcard = 0;
  friend bool operator==(const Generation&, const Generation&) = default;
};

/// All subscriptions of the server, found by subject. Literal filters are in a hash table by their
/// whole subject, those with wildcards in a trie of tokens; a subject costs one look-up in the
/// first and, where wildcards exist, one walk through the second that follows at most three ways a
/// token. Hashes are seeded, so that no client can choose colliding subjects.
///
/// Not thread-safe by itself: IndexLock says who may read and who may change.
class SubjectIndex {
 public:
  explicit SubjectIndex(std::uint64_t hash_seed);
  ~SubjectIndex();
  SubjectIndex(const SubjectIndex&) = delete;
  SubjectIndex& operator=(const SubjectIndex&) = delete;

  /// Requires: is_valid_filter(subscription.subject()), and that it is not inserted. It must stay
  /// alive until removed.
  void insert(Subscription& subscription);
  /// Does nothing when it is not inserted.
  void remove(Subscription& subscription);

  /// Appends all that `subject`, taken literally, reaches to `result`, which the caller cleared.
  void match(std::string_view subject, MatchResult& result) const;

  /// What a remembered result for `subject` must be compared with before it is used.
  Generation generation(std::string_view subject) const;

  std::uint64_t size() const { return size_; }
  std::uint64_t inserts() const { return inserts_; }
  std::uint64_t removes() const { return inserts_ - size_; }
  /// Differs whenever any subscription has come or gone.
  std::uint64_t changes() const { return inserts_ + removes(); }
  std::uint64_t hash(std::string_view text) const;

 private:
  struct Hash {
    using is_transparent = void;
    std::uint64_t seed = 0;
    std::size_t operator()(std::string_view text) const;
  };
  using Children = std::unordered_map<std::string_view, std::unique_ptr<SubjectNode>, Hash>;
  /// By name: a client can make as many groups of one subject as it likes.
  using Groups = std::unordered_map<std::string, QueueMembers, Hash, std::equal_to<>>;
  class Search;
  friend struct SubjectNode;

  SubjectNode& make_node(std::string_view filter);
  SubjectNode& child(SubjectNode& parent, std::string_view token);
  void drop_if_empty(SubjectNode* node);
  void note_change(std::string_view filter);

  Hash hash_;
  Children literals_;
  std::unique_ptr<SubjectNode> root_;             // of the trie of wildcard filters
  std::array<std::uint64_t, 256> generations_{};  // by hash of the first token
  std::uint64_t wildcard_generation_ = 0;         // filters that begin with a wildcard
  std::uint64_t size_ = 0;
  std::uint64_t inserts_ = 0;
};

/// Results that one loop remembers, checked by generation before they are used again.
/// Direct-mapped: a new subject takes the slot of the one it collides with, but only when it comes
/// a second time, so that a stream of subjects that occur once (inboxes) displaces nothing. Belongs
/// to one loop, which holds the index's read lock.
class MatchCache {
 public:
  explicit MatchCache(const SubjectIndex& index, bool enabled = true)
      : index_(index), enabled_(enabled) {}

  /// What `subject` reaches now. Lives until the next call or the read lock's release.
  const MatchResult& match(std::string_view subject) {
    ++lookups_;
    if (last_ != nullptr && last_changes_ == index_.changes() && last_->subject == subject) {
      ++hits_;
      return last_->result;
    }
    return look_up(subject);
  }

  std::uint64_t lookups() const { return lookups_; }
  std::uint64_t hits() const { return hits_; }
  std::size_t cached() const { return cached_; }
  /// How many one subject reaches, over all remembered ones: subscriptions and queue groups.
  struct FanOut {
    std::uint64_t subjects = 0;
    std::uint64_t reached = 0;
    std::uint64_t most = 0;
  };
  FanOut fan_out() const;

 private:
  struct Slot {
    std::uint64_t seen_hash = 0;  // who came last
    Generation generation;
    std::string subject;  // whose result this is; "" for none
    MatchResult result;
    std::size_t large = 0;  // members of a result that counts as large
  };
  const MatchResult& look_up(std::string_view subject);
  void make_room(Slot& slot, std::size_t members);
  void forget_large(Slot& slot);

  const SubjectIndex& index_;
  const bool enabled_;
  std::vector<Slot> slots_;  // made at the first look-up: half a megabyte
  // The slot that was asked for last, good while the index has not changed: publishers mostly send
  // to one subject for a while.
  const Slot* last_ = nullptr;
  std::uint64_t last_changes_ = 0;
  MatchResult scratch_;
  std::uint64_t lookups_ = 0;
  std::uint64_t hits_ = 0;
  std::size_t cached_ = 0;
  std::size_t large_members_ = 0;
  std::size_t hand_ = 0;  // goes round the slots when large results must go
};

}  // namespace feedvault::broker
