#include "broker/permissions.h"

#include <random>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "tests/support/sanitized.h"

namespace feedvault::broker {
namespace {

using Strings = std::vector<std::string>;

SubjectSet set_of(const Strings& patterns) {
  SubjectSet set;
  for (const std::string& pattern : patterns) {
    EXPECT_TRUE(set.add(pattern).ok()) << pattern;
  }
  return set;
}

std::shared_ptr<const Permissions> permissions(const PermissionRules& rules) {
  auto made = Permissions::make(rules);
  EXPECT_TRUE(made.has_value()) << made.status().message();
  return made.value();
}

PermissionRules subscribe_rules(std::optional<Strings> allow, Strings deny = {}) {
  PermissionRules rules;
  rules.subscribe = {std::move(allow), std::move(deny)};
  return rules;
}

TEST(SubjectSet, RefusesWhatIsNoSubject) {
  for (const char* bad : {"", ".", "a.", ".a", "a..b", "a.>.b", ">.a", "a b"}) {
    EXPECT_EQ(SubjectSet().add(bad).code(), StatusCode::kInvalidArgument) << bad;
  }
}

TEST(SubjectSet, MatchesLiteralSubjects) {
  const SubjectSet set = set_of({"a.b", "c.*", "d.>", "*.x.y", "lit*"});
  for (const char* yes : {"a.b", "c.1", "d.1", "d.1.2.3", "q.x.y", "c.*", "lit*"}) {
    EXPECT_TRUE(set.matches(yes)) << yes;
  }
  for (const char* no : {"a", "a.b.c", "c", "c.1.2", "d", "x.y", "q.x.z", "lit1", "c.", ""}) {
    EXPECT_FALSE(set.matches(no)) << no;
  }
}

TEST(SubjectSet, CoversAFilterOnlyAsAWhole) {
  const SubjectSet set = set_of({"a.*", "b.>", "c.*.d", "e"});
  for (const char* yes : {"a.*", "a.1", "b.*", "b.>", "b.1.*", "c.*.d", "c.1.d", "e"}) {
    EXPECT_TRUE(set.covers(yes)) << yes;
  }
  for (const char* no : {"a.>", "*", ">", "*.1", "b", "c.*.*", "c.>", "a.*.*", "a..", "f"}) {
    EXPECT_FALSE(set.covers(no)) << no;
  }
}

TEST(Permissions, PublishAllowAndDeny) {
  PermissionRules rules;
  rules.publish = {Strings{"orders.>"}, {"orders.secret.*"}};
  const auto made = permissions(rules);
  EXPECT_TRUE(made->can_publish("orders.new"));
  EXPECT_FALSE(made->can_publish("orders.secret.1"));
  EXPECT_TRUE(made->can_publish("orders.secret.1.2"));
  EXPECT_FALSE(made->can_publish("other"));
  EXPECT_TRUE(made->can_subscribe(">", ""));
  EXPECT_EQ(made->responses(), nullptr);
}

TEST(Permissions, ResponsesAloneForbidAllOtherPublishing) {
  PermissionRules rules;
  rules.responses.emplace();
  EXPECT_FALSE(permissions(rules)->can_publish("any"));
  EXPECT_NE(permissions(rules)->responses(), nullptr);
  rules.publish.allow = Strings{"any"};
  EXPECT_TRUE(permissions(rules)->can_publish("any"));
}

TEST(Permissions, SubscribeIsAllowedOnlyWithinTheList) {
  const auto made = permissions(subscribe_rules(Strings{"foo.*"}));
  EXPECT_TRUE(made->can_subscribe("foo.*", ""));
  EXPECT_TRUE(made->can_subscribe("foo.a", "any"));
  EXPECT_FALSE(made->can_subscribe("foo.>", ""));
  EXPECT_FALSE(made->can_subscribe("*.*", ""));
}

TEST(Permissions, QueueEntriesNameTheGroups) {
  const auto made = permissions(
      subscribe_rules(Strings{"foo", "foo v1", "foo v1.>", "bar *.dev", "baz *"}, {"> *.prod"}));
  EXPECT_TRUE(made->can_subscribe("foo", ""));
  EXPECT_TRUE(made->can_subscribe("foo", "v1"));
  EXPECT_TRUE(made->can_subscribe("foo", "v1.x.y"));
  EXPECT_FALSE(made->can_subscribe("foo", "v2"));
  EXPECT_FALSE(made->can_subscribe("foo", "v1.prod"));
  EXPECT_FALSE(made->can_subscribe("bar", ""));
  EXPECT_TRUE(made->can_subscribe("bar", "x.dev"));
  EXPECT_TRUE(made->can_subscribe("baz", "*"));
}

TEST(Permissions, APartlyDeniedFilterIsFilteredAtDelivery) {
  const auto made = permissions(subscribe_rules(std::nullopt, {"foo.x", "bar.*.secret"}));
  EXPECT_FALSE(made->can_subscribe("foo.x", ""));
  EXPECT_TRUE(made->can_subscribe("foo.*", ""));
  EXPECT_TRUE(made->filters_delivery("foo.*"));
  EXPECT_TRUE(made->filters_delivery("bar.1.*"));
  EXPECT_FALSE(made->filters_delivery("foo.*.z"));
  EXPECT_FALSE(made->can_receive("foo.x"));
  EXPECT_FALSE(made->can_receive("bar.1.secret"));
  EXPECT_TRUE(made->can_receive("foo.y"));
}

TEST(Permissions, ADeniedQueueIsFilteredForThatQueueOnly) {
  const auto made = permissions(subscribe_rules(std::nullopt, {"foo.x q1"}));
  EXPECT_TRUE(made->filters_delivery("foo.*", "q1"));
  EXPECT_FALSE(made->can_receive("foo.x", "q1"));
  EXPECT_FALSE(made->filters_delivery("foo.*", "q2"));
  EXPECT_TRUE(made->can_receive("foo.x", "q2"));
}

TEST(Permissions, SaysWhichEntryIsWrong) {
  const auto three = Permissions::make(subscribe_rules(Strings{"a b c"}));
  ASSERT_FALSE(three.has_value());
  EXPECT_NE(three.error().message().find("'a b c'"), std::string::npos);
  PermissionRules publish;
  publish.publish.deny = {"a queue"};
  EXPECT_FALSE(Permissions::make(publish).has_value());
}

TEST(ReplyPermits, AreUsedUpAndExpire) {
  const SteadyTime start{};
  ReplyPermits permits({2, std::chrono::seconds(5)});
  permits.grant("r1", start);
  EXPECT_FALSE(permits.use("r2", start));
  EXPECT_TRUE(permits.use("r1", start));
  EXPECT_TRUE(permits.use("r1", start));
  EXPECT_FALSE(permits.use("r1", start));
  permits.grant("r1", start);
  EXPECT_TRUE(permits.use("r1", start + std::chrono::seconds(5)));
  EXPECT_FALSE(permits.use("r1", start + std::chrono::seconds(6)));
  EXPECT_EQ(permits.size(), 0U);
}

TEST(ReplyPermits, WithoutLimitsKeepTheNewest) {
  ReplyPermits permits({-1, std::chrono::nanoseconds(0)});
  const std::size_t most = ReplyPermits::kReplyPermitsMax;
  for (std::size_t i = 0; i < most + 10; ++i) {
    permits.grant("r" + std::to_string(i), SteadyTime{});
  }
  EXPECT_EQ(permits.size(), most);
  EXPECT_FALSE(permits.use("r9", SteadyTime{} + std::chrono::hours(1)));
  EXPECT_TRUE(permits.use("r10", SteadyTime{} + std::chrono::hours(1)));
  EXPECT_TRUE(permits.use("r10", SteadyTime{} + std::chrono::hours(1)));
}

// Against the definition: all literal subjects of up to three tokens out of a tiny alphabet.
class Naive {
 public:
  Naive() {
    const Strings letters = {"a", "b", "c"};
    for (const std::string& x : letters) {
      universe_.push_back(x);
      for (const std::string& y : letters) {
        universe_.push_back(fmt::format("{}.{}", x, y));
        for (const std::string& z : letters) {
          universe_.push_back(fmt::format("{}.{}.{}", x, y, z));
          universe_.push_back(fmt::format("{}.{}.{}.a", x, y, z));
        }
      }
    }
  }

  static Strings split(const std::string& subject) {
    Strings tokens(1);
    for (const char c : subject) {
      if (c == '.') {
        tokens.emplace_back();
      } else {
        tokens.back() += c;
      }
    }
    return tokens;
  }

  static bool match(const std::string& pattern, const std::string& subject) {
    const Strings p = split(pattern);
    const Strings s = split(subject);
    for (std::size_t i = 0; i < p.size(); ++i) {
      if (p[i] == ">") {
        return s.size() > i;
      }
      if (i >= s.size() || (p[i] != "*" && p[i] != s[i])) {
        return false;
      }
    }
    return p.size() == s.size();
  }

  const Strings& universe() const { return universe_; }

 private:
  Strings universe_;
};

std::string random_pattern(std::mt19937& random) {
  const Strings tokens = {"a", "b", "c", "*", "*"};
  std::string pattern;
  const std::size_t count = 1 + random() % 3;
  for (std::size_t i = 0; i < count; ++i) {
    const bool tail = i + 1 == count && random() % 3 == 0;
    pattern += (i > 0 ? "." : "") + (tail ? std::string(">") : tokens[random() % tokens.size()]);
  }
  return pattern;
}

TEST(SubjectSet, AgreesWithANaiveMatcherOnRandomPatterns) {
  const Naive naive;
  std::mt19937 random(20261121);
  for (int round = 0; round < (feedvault::testing::kSanitized ? 600 : 3000); ++round) {
    const std::string pattern = random_pattern(random);
    const std::string filter = random_pattern(random);
    const SubjectSet set = set_of({pattern});
    bool subset = true;
    bool meets = false;
    for (const std::string& subject : naive.universe()) {
      ASSERT_EQ(set.matches(subject), Naive::match(pattern, subject)) << pattern << " " << subject;
      if (Naive::match(filter, subject)) {
        meets = meets || Naive::match(pattern, subject);
        subset = subset && Naive::match(pattern, subject);
      }
    }
    ASSERT_EQ(set.covers(filter), subset) << pattern << " " << filter;
    ASSERT_EQ(set.overlaps(filter), meets) << pattern << " " << filter;
  }
}

}  // namespace
}  // namespace feedvault::broker
