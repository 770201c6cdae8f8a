#include "base/subject.h"

#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace feedvault {
namespace {

TEST(Subject, ValidOnes) {
  for (const char* subject :
       {"a", "sport_event", "feed.events", "a.*.b", "a.>", ">", "*", "*.>", "$x", "\xC3\xA9"}) {
    EXPECT_EQ(subject_problem(subject), "") << subject;
  }
}

TEST(Subject, SaysWhatIsWrong) {
  EXPECT_EQ(subject_problem(""), "it is empty");
  EXPECT_EQ(subject_problem("a b"), "it contains white space or a control character");
  EXPECT_EQ(subject_problem("a\n"), "it contains white space or a control character");
  EXPECT_EQ(subject_problem("a..b"), "it has an empty token");
  EXPECT_EQ(subject_problem(".a"), "it has an empty token");
  EXPECT_EQ(subject_problem("a."), "it has an empty token");
  EXPECT_EQ(subject_problem("a.>.b"), "'>' must be its last token");
  EXPECT_EQ(subject_problem("a*"), "'*' and '>' must be tokens of their own");
  EXPECT_EQ(subject_problem("a.b>"), "'*' and '>' must be tokens of their own");
}

std::vector<std::string> tokens_of(const std::string& subject) {
  std::vector<std::string> tokens{""};
  for (const char c : subject) {
    if (c == '.') {
      tokens.emplace_back();
    } else {
      tokens.back() += c;
    }
  }
  return tokens;
}

bool matches(const std::string& filter, const std::string& subject) {
  const auto f = tokens_of(filter);
  const auto s = tokens_of(subject);
  for (std::size_t i = 0; i < f.size(); ++i) {
    if (i >= s.size()) {
      return false;
    }
    if (f[i] == ">") {
      return true;
    }
    if (f[i] != "*" && f[i] != s[i]) {
      return false;
    }
  }
  return f.size() == s.size();
}

// All subjects over two letters with up to five tokens are enough to witness any overlap of
// filters with up to four.
TEST(Subject, OverlapAgreesWithTryingEverySubject) {
  std::vector<std::string> subjects;
  for (int length = 1; length <= 5; ++length) {
    for (int bits = 0; bits < 1 << length; ++bits) {
      std::string subject;
      for (int i = 0; i < length; ++i) {
        subject += std::string(i == 0 ? "" : ".") + ((bits >> i & 1) != 0 ? "a" : "b");
      }
      subjects.push_back(subject);
    }
  }
  std::mt19937 random(7);
  const auto filter = [&random] {
    const char* kinds[] = {"a", "b", "*", ">"};
    std::string text;
    for (unsigned i = 0, n = 1 + random() % 4; i < n; ++i) {
      const std::string token = kinds[random() % 4];
      text += (i == 0 ? "" : ".") + token;
      if (token == ">") {
        break;
      }
    }
    return text;
  };
  for (int round = 0; round < 2000; ++round) {
    const std::string a = filter();
    const std::string b = filter();
    bool common = false;
    for (const std::string& subject : subjects) {
      common = common || (matches(a, subject) && matches(b, subject));
      ASSERT_EQ(subject_matches(a, subject), matches(a, subject)) << a << " and " << subject;
    }
    ASSERT_EQ(subjects_overlap(a, b), common) << a << " and " << b;
  }
}

TEST(Subject, HasAWildcardWhereAWholeTokenIsOne) {
  for (const char* subject : {"*", ">", "a.*", "*.a", "a.*.b", "a.>"}) {
    EXPECT_TRUE(has_wildcard(subject)) << subject;
  }
  for (const char* subject : {"a", "a*", "*a.b", "a.b>", "a.>b"}) {
    EXPECT_FALSE(has_wildcard(subject)) << subject;
  }
}

TEST(Subject, IsMatchedTokenByToken) {
  EXPECT_TRUE(subject_matches("a", "a"));
  EXPECT_FALSE(subject_matches("a", "b"));
  EXPECT_FALSE(subject_matches("a", "a.b"));
  EXPECT_FALSE(subject_matches("a.b", "a"));
  EXPECT_TRUE(subject_matches("a.*", "a.b"));
  EXPECT_FALSE(subject_matches("a.*", "a"));
  EXPECT_FALSE(subject_matches("a.*", "a.b.c"));
  EXPECT_TRUE(subject_matches("*.b", "a.b"));
  EXPECT_TRUE(subject_matches("a.>", "a.b"));
  EXPECT_TRUE(subject_matches("a.>", "a.b.c"));
  EXPECT_FALSE(subject_matches("a.>", "a"));
  EXPECT_TRUE(subject_matches(">", "a"));
  EXPECT_TRUE(subject_matches("*.*.>", "a.b.c.d"));
  EXPECT_FALSE(subject_matches("*.*.>", "a.b"));
  EXPECT_FALSE(subject_matches("a*", "ab"));
  EXPECT_TRUE(subject_matches("a*", "a*"));
}

}  // namespace
}  // namespace feedvault
