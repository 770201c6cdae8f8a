#include "broker/subject_index.h"

#include <algorithm>
#include <cstring>
#include <random>

#include "base/check.h"
#include "base/subject.h"

namespace feedvault::broker {
namespace {

// Takes the first token off `rest`; `last` says that it was the final one.
std::string_view next_token(std::string_view& rest, bool& last) {
  const auto* const dot = static_cast<const char*>(std::memchr(rest.data(), '.', rest.size()));
  last = dot == nullptr;
  if (last) {
    return rest;
  }
  const auto size = static_cast<std::size_t>(dot - rest.data());
  const std::string_view token = rest.substr(0, size);
  rest.remove_prefix(size + 1);
  return token;
}

template <typename Visitor>
bool all_tokens(std::string_view subject, Visitor visit) {
  bool last = false;
  while (!last) {
    const std::string_view token = next_token(subject, last);
    if (!visit(token, last)) {
      return false;
    }
  }
  return true;
}

std::string_view first_token(std::string_view subject) {
  return subject.substr(0, subject.find('.'));
}

// Multiply and fold 64x64 to 128 bits: mixes every input bit into every output bit, in three
// cycles.
std::uint64_t mix(std::uint64_t a, std::uint64_t b) {
  __extension__ using Wide = unsigned __int128;
  const Wide product = static_cast<Wide>(a) * b;
  return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64U);
}

std::uint64_t load(const char* from, std::size_t bytes) {
  std::uint64_t value = 0;
  std::memcpy(&value, from, bytes);
  return value;
}

}  // namespace

std::uint64_t hash_text(std::string_view text, std::uint64_t seed) {
  constexpr std::uint64_t kOdd1 = 0x9E3779B97F4A7C15U;
  constexpr std::uint64_t kOdd2 = 0xD6E8FEB86659FD93U;
  const char* at = text.data();
  std::size_t left = text.size();
  std::uint64_t state = seed ^ mix(left + kOdd1, kOdd2);
  while (left > 16) {
    state = mix(load(at, 8) ^ kOdd1 ^ state, load(at + 8, 8) ^ kOdd2);
    at += 16;
    left -= 16;
  }
  std::uint64_t low = 0;
  std::uint64_t high = 0;
  if (left >= 8) {
    low = load(at, 8);
    high = load(at + left - 8, 8);
  } else if (left >= 4) {
    low = load(at, 4);
    high = load(at + left - 4, 4);
  } else if (left > 0) {
    low = load(at, left);
  }
  return mix(low ^ kOdd1 ^ state, high ^ kOdd2 ^ seed);
}

std::uint64_t process_hash_seed() {
  static const std::uint64_t seed = [] {
    std::random_device device;
    return (std::uint64_t{device()} << 32U) | device();
  }();
  return seed;
}

/// A place where subscriptions hang: a literal subject, or a node of the trie.
struct SubjectNode {
  SubjectNode(SubjectNode* up, std::string_view name, SubjectIndex::Hash hash)
      : parent(up), token(name), children(0, hash) {}

  bool empty() const {
    return plain.empty() && groups == nullptr && children.empty() && star == nullptr &&
           full == nullptr;
  }

  SubjectNode* parent;  // null: a literal subject, or the trie's root
  std::string token;
  std::vector<Subscription*> plain;
  std::unique_ptr<SubjectIndex::Groups> groups;  // null: none
  SubjectIndex::Children children;
  std::unique_ptr<SubjectNode> star;
  std::unique_ptr<SubjectNode> full;
};

bool is_valid_filter(std::string_view filter) {
  std::size_t tokens = 0;
  return !filter.empty() && all_tokens(filter, [&](std::string_view token, bool last) {
    return !token.empty() && (last || token != ">") && ++tokens <= kFilterTokensMax;
  });
}

bool is_valid_literal(std::string_view subject) {
  return !has_empty_token(subject) && !has_wildcard(subject);
}

bool has_empty_token(std::string_view subject) {
  if (subject.empty() || subject.front() == '.' || subject.back() == '.') {
    return true;
  }
  return subject.find("..") != std::string_view::npos;
}

std::size_t token_count(std::string_view subject) {
  return static_cast<std::size_t>(std::count(subject.begin(), subject.end(), '.')) + 1;
}

Subscription::Subscription(Connection* connection,
                           std::uint32_t loop,
                           std::string_view subject,
                           std::string_view queue,
                           std::string_view sid)
    : connection_(connection),
      text_(new char[subject.size() + queue.size() + sid.size()]),
      subject_bytes_(static_cast<std::uint32_t>(subject.size())),
      queue_bytes_(static_cast<std::uint32_t>(queue.size())),
      sid_bytes_(static_cast<std::uint32_t>(sid.size())),
      loop_(loop) {
  char* at = text_.get();
  for (const std::string_view part : {subject, queue, sid}) {
    at = std::copy(part.begin(), part.end(), at);
  }
}

void MatchResult::clear() {
  plain.clear();
  queues.clear();
  work = 0;
}

std::size_t SubjectIndex::Hash::operator()(std::string_view text) const {
  return hash_text(text, seed);
}

SubjectIndex::SubjectIndex(std::uint64_t hash_seed)
    : hash_{hash_seed},
      literals_(0, hash_),
      root_(std::make_unique<SubjectNode>(nullptr, "", hash_)) {}

SubjectIndex::~SubjectIndex() = default;

std::uint64_t SubjectIndex::hash(std::string_view text) const {
  return hash_text(text, hash_.seed);
}

SubjectNode& SubjectIndex::child(SubjectNode& parent, std::string_view token) {
  if (token == "*" || token == ">") {
    std::unique_ptr<SubjectNode>& wild = token == "*" ? parent.star : parent.full;
    if (wild == nullptr) {
      wild = std::make_unique<SubjectNode>(&parent, token, hash_);
    }
    return *wild;
  }
  if (const auto found = parent.children.find(token); found != parent.children.end()) {
    return *found->second;
  }
  auto made = std::make_unique<SubjectNode>(&parent, token, hash_);
  const std::string_view key = made->token;  // the node outlives its entry
  return *parent.children.emplace(key, std::move(made)).first->second;
}

SubjectNode& SubjectIndex::make_node(std::string_view filter) {
  if (!has_wildcard(filter)) {
    if (const auto found = literals_.find(filter); found != literals_.end()) {
      return *found->second;
    }
    auto made = std::make_unique<SubjectNode>(nullptr, filter, hash_);
    const std::string_view key = made->token;
    return *literals_.emplace(key, std::move(made)).first->second;
  }
  SubjectNode* node = root_.get();
  all_tokens(filter, [&](std::string_view token, bool) {
    node = &child(*node, token);
    return true;
  });
  return *node;
}

void SubjectIndex::note_change(std::string_view filter) {
  const std::string_view first = first_token(filter);
  if (first == "*" || first == ">") {
    ++wildcard_generation_;
  } else {
    ++generations_[hash(first) % generations_.size()];
  }
}

Generation SubjectIndex::generation(std::string_view subject) const {
  return {generations_[hash(first_token(subject)) % generations_.size()], wildcard_generation_};
}

void SubjectIndex::insert(Subscription& subscription) {
  CHECK(subscription.node == nullptr);
  SubjectNode& node = make_node(subscription.subject());
  std::vector<Subscription*>* list = &node.plain;
  if (!subscription.queue().empty()) {
    if (node.groups == nullptr) {
      node.groups = std::make_unique<Groups>(0, hash_);
    }
    auto group = node.groups->find(subscription.queue());
    if (group == node.groups->end()) {
      group = node.groups->emplace(subscription.queue(), QueueMembers()).first;
    }
    list = &group->second;
  }
  subscription.node = &node;
  subscription.position = static_cast<std::uint32_t>(list->size());
  list->push_back(&subscription);
  ++size_;
  ++inserts_;
  note_change(subscription.subject());
}

void SubjectIndex::remove(Subscription& subscription) {
  if (subscription.node == nullptr) {
    return;
  }
  SubjectNode& node = *subscription.node;
  // The last one takes the free place: no list is ever searched.
  const auto take_out = [&](std::vector<Subscription*>& list) {
    CHECK(list.at(subscription.position) == &subscription);
    list[subscription.position] = list.back();
    list[subscription.position]->position = subscription.position;
    list.pop_back();
  };
  if (subscription.queue().empty()) {
    take_out(node.plain);
  } else {
    const auto group = node.groups->find(subscription.queue());
    CHECK(group != node.groups->end());
    take_out(group->second);
    if (group->second.empty()) {
      node.groups->erase(group);
    }
    if (node.groups->empty()) {
      node.groups.reset();
    }
  }
  subscription.node = nullptr;
  --size_;
  note_change(subscription.subject());
  drop_if_empty(&node);
}

void SubjectIndex::drop_if_empty(SubjectNode* node) {
  while (node != root_.get() && node->empty()) {
    SubjectNode* const parent = node->parent;
    if (parent == nullptr) {
      literals_.erase(literals_.find(node->token));
      return;
    }
    if (parent->star.get() == node) {
      parent->star.reset();
    } else if (parent->full.get() == node) {
      parent->full.reset();
    } else {
      parent->children.erase(parent->children.find(node->token));
    }
    node = parent;
  }
}

/// One search. Groups of one name may hang at several nodes and count as one; with many names they
/// are found by a table, so that nobody can make that expensive.
class SubjectIndex::Search {
 public:
  Search(MatchResult& result, Hash hash) : result_(result), by_name_(0, hash) {}

  void walk(const SubjectNode& node, std::string_view rest);
  void collect(const SubjectNode& node);

 private:
  static constexpr std::size_t kFewNames = 16;
  QueueMembers* find_group(std::string_view name);

  MatchResult& result_;
  std::unordered_map<std::string_view, std::size_t, Hash> by_name_;
};

QueueMembers* SubjectIndex::Search::find_group(std::string_view name) {
  auto& queues = result_.queues;
  if (queues.size() <= kFewNames) {
    const auto same = std::find_if(queues.begin(), queues.end(), [&](const QueueMembers& members) {
      return members.front()->queue() == name;
    });
    return same == queues.end() ? nullptr : &*same;
  }
  for (std::size_t i = by_name_.size(); i < queues.size(); ++i) {
    by_name_.emplace(queues[i].front()->queue(), i);
  }
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? nullptr : &queues[found->second];
}

void SubjectIndex::Search::collect(const SubjectNode& node) {
  result_.plain.insert(result_.plain.end(), node.plain.begin(), node.plain.end());
  result_.work += 1 + node.plain.size();
  if (node.groups == nullptr) {
    return;
  }
  const bool first = result_.queues.empty();  // of one node all names differ
  for (const auto& [name, members] : *node.groups) {
    QueueMembers* const same = first ? nullptr : find_group(name);
    if (same == nullptr) {
      result_.queues.push_back(members);
    } else {
      same->insert(same->end(), members.begin(), members.end());
    }
    result_.work += 1 + members.size();
  }
}

void SubjectIndex::Search::walk(const SubjectNode& node, std::string_view rest) {
  ++result_.work;
  if (node.full != nullptr) {
    collect(*node.full);
  }
  bool last = false;
  const std::string_view token = next_token(rest, last);
  const SubjectNode* ways[2] = {nullptr, node.star.get()};
  if (!node.children.empty()) {
    if (const auto found = node.children.find(token); found != node.children.end()) {
      ways[0] = found->second.get();
    }
  }
  for (const SubjectNode* const way : ways) {
    if (way == nullptr) {
      continue;
    }
    if (last) {
      collect(*way);
    } else {
      walk(*way, rest);
    }
  }
}

void SubjectIndex::match(std::string_view subject, MatchResult& result) const {
  if (size_ == 0) {
    return;
  }
  Search search(result, hash_);
  const auto literal = literals_.find(subject);
  if (literal != literals_.end()) {
    search.collect(*literal->second);
  }
  if (!root_->empty()) {
    // A subject with an empty token reaches nobody; only wildcards could match one.
    if (has_empty_token(subject)) {
      return;
    }
    search.walk(*root_, subject);
  }
}

// Large results are few, or else some of them go: whoever they were for can have them again.
void MatchCache::make_room(Slot& slot, std::size_t members) {
  if (slot.large > 0) {
    forget_large(slot);
  }
  if (members <= kLargeMatch) {
    return;
  }
  while (large_members_ + members > kCachedMembersMax) {
    hand_ = (hand_ + 1) % slots_.size();
    if (slots_[hand_].large > 0) {
      forget_large(slots_[hand_]);
    }
  }
  slot.large = members;
  large_members_ += members;
}

void MatchCache::forget_large(Slot& slot) {
  large_members_ -= slot.large;
  slot.large = 0;
  slot.result = {};  // and its memory
  cached_ -= slot.subject.empty() ? 0U : 1U;
  slot.subject.clear();
}

const MatchResult& MatchCache::look_up(std::string_view subject) {
  if (slots_.empty()) {
    if (!enabled_) {
      scratch_.clear();
      index_.match(subject, scratch_);
      return scratch_;
    }
    slots_.resize(kMatchCacheSlots);
  }
  const std::uint64_t hash = index_.hash(subject);
  Slot& slot = slots_[hash & (kMatchCacheSlots - 1)];
  const Generation now = index_.generation(subject);
  if (slot.subject == subject && !slot.subject.empty() && slot.generation == now) {
    ++hits_;
    last_ = &slot;
    last_changes_ = index_.changes();
    return slot.result;
  }
  scratch_.clear();
  index_.match(subject, scratch_);
  const bool second_time = slot.seen_hash == hash;
  slot.seen_hash = hash;
  std::size_t members = scratch_.plain.size();
  for (const QueueMembers& queue : scratch_.queues) {
    members += queue.size();
  }
  if (!second_time || subject.size() > kCachedSubjectBytesMax || members > kCachedMatchMax) {
    return scratch_;
  }
  make_room(slot, members + scratch_.queues.size());
  cached_ += slot.subject.empty() ? 1U : 0U;
  slot.subject.assign(subject);
  slot.generation = now;
  slot.result = scratch_;
  slot.result.work = 1 + members;
  return slot.result;
}

MatchCache::FanOut MatchCache::fan_out() const {
  FanOut sum;
  for (const Slot& slot : slots_) {
    if (!slot.subject.empty()) {
      const std::uint64_t here = slot.result.plain.size() + slot.result.queues.size();
      ++sum.subjects;
      sum.reached += here;
      sum.most = std::max(sum.most, here);
    }
  }
  return sum;
}

}  // namespace feedvault::broker
