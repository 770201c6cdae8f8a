#include "broker/subject_index.h"

#include <algorithm>
#include <ctime>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/sanitized.h"
#include "tests/unit/broker/naive_matcher.h"

namespace feedvault::broker {
namespace {

using testing::naive_match;

constexpr std::uint64_t kSeed = 42;

std::unique_ptr<Subscription> make(std::string_view subject,
                                   std::string_view queue = "",
                                   std::string_view sid = "1") {
  return std::make_unique<Subscription>(nullptr, 0, subject, queue, sid);
}

// "a.*,b.>" for a result; queue groups as "name[filter,filter]".
std::string show(const MatchResult& result) {
  std::multiset<std::string> parts;
  for (const Subscription* each : result.plain) {
    parts.insert(std::string(each->subject()));
  }
  for (const QueueMembers& members : result.queues) {
    std::multiset<std::string> names;
    for (const Subscription* each : members) {
      names.insert(std::string(each->subject()));
    }
    std::string text(members.front()->queue());
    text += "[";
    for (const std::string& name : names) {
      text += name + " ";
    }
    parts.insert(text + "]");
  }
  std::string all;
  for (const std::string& part : parts) {
    all += part + ",";
  }
  return all;
}

std::string match(const SubjectIndex& index, std::string_view subject) {
  MatchResult result;
  index.match(subject, result);
  return show(result);
}

TEST(Filters, AreValidWhereTheReferenceSaysSo) {
  for (const char* valid :
       {"a", "a.b", "*", ">", "a.*", "*.*", "a.>", "foo*", "foo>", "a.>b", "*a"}) {
    EXPECT_TRUE(is_valid_filter(valid)) << valid;
  }
  for (const char* bad : {"", ".", ".a", "a.", "a..b", ">.a", "foo.>.bar", "a.>.", "."}) {
    EXPECT_FALSE(is_valid_filter(bad)) << bad;
  }
  std::string deep = "a";
  for (std::size_t i = 1; i < kFilterTokensMax; ++i) {
    deep += ".a";
  }
  EXPECT_TRUE(is_valid_filter(deep));
  EXPECT_FALSE(is_valid_filter(deep + ".a"));
}

TEST(Filters, LiteralsHaveNoWholeWildcardToken) {
  EXPECT_TRUE(is_valid_literal("foo*.b>r"));
  EXPECT_FALSE(is_valid_literal("foo.*"));
  EXPECT_FALSE(is_valid_literal(">"));
  EXPECT_FALSE(is_valid_literal("a..b"));
  EXPECT_EQ(token_count("a.b.c"), 3U);
}

TEST(SubjectIndex, FindsLiteralsAndWildcards) {
  SubjectIndex index(kSeed);
  std::vector<std::unique_ptr<Subscription>> all;
  for (const char* filter : {"a", "a.b", "a.*", "a.>", ">", "*", "*.b", "a.b.c", "a*.b"}) {
    all.push_back(make(filter));
    index.insert(*all.back());
  }
  EXPECT_EQ(match(index, "a"), "*,>,a,");
  EXPECT_EQ(match(index, "a.b"), "*.b,>,a.*,a.>,a.b,");
  EXPECT_EQ(match(index, "a.b.c"), ">,a.>,a.b.c,");
  EXPECT_EQ(match(index, "a*.b"), "*.b,>,a*.b,");
  EXPECT_EQ(match(index, "a..b"), "");
  EXPECT_EQ(match(index, "a."), "");
  EXPECT_EQ(match(index, ".a"), "");
  EXPECT_EQ(index.size(), 9U);
}

TEST(SubjectIndex, TakesPublishedSubjectsLiterally) {
  SubjectIndex index(kSeed);
  auto same = make("foo.*");
  auto wide = make("*.*");
  auto other = make("foo.bar");
  for (auto* each : {&same, &wide, &other}) {
    index.insert(**each);
  }
  EXPECT_EQ(match(index, "foo.*"), "*.*,foo.*,");
}

TEST(SubjectIndex, MergesQueueGroupsByName) {
  SubjectIndex index(kSeed);
  auto a = make("q.a", "g", "1");
  auto b = make("q.*", "g", "2");
  auto c = make("q.a", "h", "3");
  auto d = make("q.a", "", "4");
  for (auto* each : {&a, &b, &c, &d}) {
    index.insert(**each);
  }
  EXPECT_EQ(match(index, "q.a"), "g[q.* q.a ],h[q.a ],q.a,");
  index.remove(*a);
  index.remove(*c);
  EXPECT_EQ(match(index, "q.a"), "g[q.* ],q.a,");
  index.remove(*c);  // twice is nothing
  EXPECT_EQ(index.size(), 2U);
}

/// This thread's processor time: other processes do not count.
double cpu_seconds() {
  timespec now{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

// Looking each one up among all others took half a minute for that many.
TEST(SubjectIndex, ManyQueueGroupsOfOneSubjectCostNoMoreThanManySubjects) {
  SubjectIndex index(kSeed);
  std::vector<std::unique_ptr<Subscription>> all;
  std::vector<std::unique_ptr<Subscription>> subjects;
  constexpr std::size_t kGroups = 50'000;
  for (std::size_t i = 0; i < kGroups; ++i) {
    all.push_back(make("a.b", "group" + std::to_string(i)));
    all.push_back(make("a.*", "group" + std::to_string(i)));
    subjects.push_back(make("b." + std::to_string(i), "group"));
    subjects.push_back(make("c." + std::to_string(i), "group"));
  }
  double begin = cpu_seconds();
  for (const auto& each : subjects) {
    index.insert(*each);
  }
  for (const auto& each : subjects) {
    index.remove(*each);
  }
  const double cost_of_subjects = cpu_seconds() - begin;
  begin = cpu_seconds();
  for (const auto& each : all) {
    index.insert(*each);
  }
  MatchResult result;
  index.match("a.b", result);
  ASSERT_EQ(result.queues.size(), kGroups);
  for (const QueueMembers& members : result.queues) {
    ASSERT_EQ(members.size(), 2U);
    ASSERT_EQ(members[0]->queue(), members[1]->queue());
  }
  for (const auto& each : all) {
    index.remove(*each);
  }
  EXPECT_EQ(match(index, "a.b"), "");
  EXPECT_LT(cpu_seconds() - begin, 20 * cost_of_subjects);
}

TEST(MatchCache, RemembersABoundedNumberOfMembers) {
  SubjectIndex index(kSeed);
  MatchCache cache(index);
  std::vector<std::unique_ptr<Subscription>> all;
  for (std::size_t i = 0; i < kCachedMatchMax; ++i) {
    all.push_back(make(">"));
    index.insert(*all.back());
  }
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 1000; ++i) {
      EXPECT_EQ(cache.match("subject." + std::to_string(i)).plain.size(), kCachedMatchMax);
      EXPECT_EQ(cache.match("subject." + std::to_string(i)).plain.size(), kCachedMatchMax);
    }
  }
  EXPECT_LE(cache.cached() * kCachedMatchMax, kCachedMembersMax);
  EXPECT_GT(cache.cached(), 0U);
  cache.match("subject.999");
  const std::uint64_t hits = cache.hits();
  cache.match("subject.999");
  EXPECT_EQ(cache.hits(), hits + 1) << "the last one is not remembered";
}

std::string random_subject(std::mt19937& random, bool filter) {
  static const std::vector<std::string> words = {"a", "b", "c", "dd", "e*", ""};
  std::string subject;
  const std::size_t tokens = 1 + random() % 4;
  for (std::size_t i = 0; i < tokens; ++i) {
    subject += i > 0 ? "." : "";
    const auto dice = random() % 12;
    if (filter && dice < 3) {
      subject += "*";
    } else if (filter && dice == 3 && i + 1 == tokens) {
      subject += ">";
    } else {
      subject += words[random() % (filter || dice > 0 ? 5 : 6)];
    }
  }
  return subject;
}

TEST(SubjectIndex, AgreesWithTheNaiveMatcherOnRandomSubjects) {
  std::mt19937 random(7);
  SubjectIndex index(kSeed);
  MatchCache cache(index);
  std::vector<std::unique_ptr<Subscription>> present;
  for (int step = 0; step < (feedvault::testing::kSanitized ? 5000 : 20'000); ++step) {
    if (present.size() < 5 || (random() % 2 == 0 && present.size() < 60)) {
      const std::string filter = random_subject(random, true);
      ASSERT_TRUE(is_valid_filter(filter)) << filter;
      present.push_back(make(filter, random() % 3 == 0 ? (random() % 2 == 0 ? "g" : "h") : ""));
      index.insert(*present.back());
    } else if (random() % 2 == 0) {
      const std::size_t victim = random() % present.size();
      index.remove(*present[victim]);
      present.erase(present.begin() + static_cast<std::ptrdiff_t>(victim));
    }
    const std::string subject = random_subject(random, false);
    MatchResult expected;
    std::map<std::string, QueueMembers> queues;
    for (const auto& each : present) {
      if (!naive_match(each->subject(), subject)) {
        continue;
      }
      if (each->queue().empty()) {
        expected.plain.push_back(each.get());
      } else {
        queues[std::string(each->queue())].push_back(each.get());
      }
    }
    for (auto& [name, members] : queues) {
      expected.queues.push_back(members);
    }
    ASSERT_EQ(match(index, subject), show(expected)) << subject << " at step " << step;
    ASSERT_EQ(show(cache.match(subject)), show(expected)) << subject << " at step " << step;
  }
  EXPECT_GT(cache.hits(), 100U) << "the cache took part in the comparison";
  for (const auto& each : present) {
    index.remove(*each);
  }
  EXPECT_EQ(index.size(), 0U);
}

TEST(MatchCache, RemembersFromTheSecondTimeAndForgetsOnChange) {
  SubjectIndex index(kSeed);
  MatchCache cache(index);
  auto a = make("a.*");
  index.insert(*a);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(show(cache.match("a.b")), "a.*,");
  }
  EXPECT_EQ(cache.hits(), 1U);
  auto b = make("*.b");
  index.insert(*b);
  EXPECT_EQ(show(cache.match("a.b")), "*.b,a.*,");
  index.remove(*a);
  index.remove(*b);
  EXPECT_EQ(show(cache.match("a.b")), "");
}

// Runs of one subject, of which the cache remembers the last by itself, between changes of all
// kinds.
TEST(MatchCache, AlwaysSaysWhatTheIndexSays) {
  SubjectIndex index(kSeed);
  MatchCache cache(index);
  const std::vector<std::string> filters = {"a.b", "a.*", "a.>", "*.b", ">", "c", "c.d"};
  const std::vector<std::string> subjects = {"a.b", "a.c", "c", "c.d", "d.b"};
  std::vector<std::unique_ptr<Subscription>> all;
  std::mt19937 random(7);
  const auto below = [&](std::size_t n) { return static_cast<std::size_t>(random() % n); };
  for (int step = 0; step < 5000; ++step) {
    if (below(3) == 0 && !all.empty()) {
      const std::size_t gone = below(all.size());
      index.remove(*all[gone]);
      all.erase(all.begin() + static_cast<std::ptrdiff_t>(gone));
    } else if (below(2) == 0 && all.size() < 10) {
      all.push_back(make(filters[below(filters.size())]));
      index.insert(*all.back());
    }
    const std::string& subject = subjects[below(subjects.size())];
    for (std::size_t run = below(4); run > 0; --run) {
      MatchResult direct;
      index.match(subject, direct);
      ASSERT_EQ(show(cache.match(subject)), show(direct)) << "step " << step << ' ' << subject;
    }
  }
  EXPECT_GT(cache.hits(), 1000U);
  for (const auto& each : all) {
    index.remove(*each);
  }
}

TEST(MatchCache, ForgetsNothingWhenUnrelatedSubjectsChange) {
  SubjectIndex index(kSeed);
  MatchCache cache(index);
  auto a = make("orders.*");
  index.insert(*a);
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(show(cache.match("orders.1")), "orders.*,");
  }
  // Fifty other first tokens: at most one in 256 of them shares the generation counter.
  for (int i = 0; i < 50; ++i) {
    auto other = make("inbox" + std::to_string(i) + ".x");
    index.insert(*other);
    cache.match("orders.1");
    index.remove(*other);
    cache.match("orders.1");
  }
  EXPECT_GT(cache.hits(), 90U);
}

TEST(MatchCache, SubjectsThatOccurOnceDisplaceNothing) {
  SubjectIndex index(kSeed);
  MatchCache cache(index);
  auto a = make("inbox.*");
  index.insert(*a);
  for (int i = 0; i < 20000; ++i) {
    cache.match("inbox." + std::to_string(i));
  }
  EXPECT_EQ(cache.cached(), 0U);
}

TEST(SubjectIndex, HoldsAHundredThousandWildcards) {
  SubjectIndex index(kSeed);
  std::vector<std::unique_ptr<Subscription>> all;
  for (int i = 0; i < 100000; ++i) {
    all.push_back(make("sensor." + std::to_string(i) + ".*"));
    index.insert(*all.back());
  }
  for (int i = 0; i < 100000; i += 997) {
    const std::string n = std::to_string(i);
    ASSERT_EQ(match(index, "sensor." + n + ".t"), "sensor." + n + ".*,");
  }
  for (const auto& each : all) {
    index.remove(*each);
  }
  EXPECT_EQ(index.size(), 0U);
  EXPECT_EQ(index.inserts(), 100000U);
}

}  // namespace
}  // namespace feedvault::broker
