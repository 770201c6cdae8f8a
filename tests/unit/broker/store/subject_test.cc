// Filters, and the table of subjects.

#include <map>
#include <random>
#include <string>

#include <gtest/gtest.h>

#include "broker/store/subject_filter.h"
#include "broker/store/subject_table.h"

namespace feedvault::broker::store {
namespace {

TEST(SubjectFilter, KnowsItsOnlySubject) {
  EXPECT_EQ(SubjectFilter("a.b").only_subject(), "a.b");
  EXPECT_EQ(SubjectFilter("a.*").only_subject(), "");
  EXPECT_EQ(SubjectFilter("a.b>").only_subject(), "a.b>");
  EXPECT_EQ(SubjectFilter(std::vector<std::string>{"a", "b"}).only_subject(), "");
  EXPECT_EQ(SubjectFilter().only_subject(), "");
  EXPECT_TRUE(SubjectFilter(">").matches_all());
  EXPECT_TRUE(SubjectFilter(std::vector<std::string>{"a", ">"}).matches_all());
}

TEST(SubjectFilter, SeveralAreAnyOfThem) {
  const SubjectFilter filter(std::vector<std::string>{"a.*", "b"});
  EXPECT_TRUE(filter.matches("a.x"));
  EXPECT_TRUE(filter.matches("b"));
  EXPECT_FALSE(filter.matches("c"));
}

TEST(SubjectTable, AgreesWithAMap) {
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937_64 random(seed);
    SubjectTable table(seed);
    std::map<std::string, SubjectTable::Id> model;
    for (int step = 0; step < 5000; ++step) {
      // Lengths around the steps of the arena and the hash.
      std::string text = std::to_string(random() % 600);
      text.resize(1 + std::hash<std::string>()(text) % 40, 'x');
      const auto known = model.find(text);
      ASSERT_EQ(table.find(text), known == model.end() ? SubjectTable::kNone : known->second);
      if (random() % 2 == 0) {
        const SubjectTable::Id id = table.find_or_add(text);
        ASSERT_TRUE(known == model.end() || known->second == id);
        model[text] = id;
      } else if (known != model.end()) {
        table.release(known->second);
        model.erase(known);
      }
      ASSERT_EQ(table.size(), model.size());
    }
    for (const auto& [text, id] : model) {
      ASSERT_EQ(table.text(id), text);
      ASSERT_TRUE(table.at(id).used);
    }
  }
}

TEST(SubjectTable, TheLongestSubjectFits) {
  SubjectTable table(1);
  const std::string longest(65535, 'l');
  const SubjectTable::Id id = table.find_or_add(longest);
  EXPECT_EQ(table.text(id), longest);
  table.release(id);
  EXPECT_EQ(table.find(longest), SubjectTable::kNone);
  EXPECT_EQ(table.text(table.find_or_add(longest)), longest);
}

TEST(SubjectTable, AReusedNumberHasAnotherGeneration) {
  SubjectTable table(1);
  const SubjectTable::Id one = table.find_or_add("one");
  const std::uint32_t generation = table.at(one).generation;
  table.release(one);
  const SubjectTable::Id two = table.find_or_add("two");
  ASSERT_EQ(one, two);
  EXPECT_NE(table.at(two).generation, generation);
}

}  // namespace
}  // namespace feedvault::broker::store
