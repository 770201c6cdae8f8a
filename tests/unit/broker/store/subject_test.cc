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
    std::map<std::string, SubjectTable::Messages> messages;
    for (int step = 0; step < 5000; ++step) {
      // Lengths around the steps of the arena and the hash.
      std::string text = std::to_string(random() % 600);
      text.resize(1 + std::hash<std::string>()(text) % 40, 'x');
      const auto known = model.find(text);
      ASSERT_EQ(table.find(text), known == model.end() ? SubjectTable::kNone : known->second);
      if (random() % 2 == 0) {
        const SubjectTable::Id id = table.find_or_add(text);
        ASSERT_TRUE(known == model.end() || known->second == id);
        ASSERT_TRUE(known != model.end() || table.messages(id).count == 0);
        model[text] = id;
        // One message or several, near the others' or far away.
        SubjectTable::Messages& now = messages[text];
        now.count = 1 + static_cast<std::uint32_t>(random() % 2);
        now.first_seq = random() % 10 == 0 ? random() : 1000 + random() % 1000;
        now.last_seq = now.first_seq + now.count - 1;
        table.set_messages(id, now);
      } else if (known != model.end()) {
        table.release(known->second);
        model.erase(known);
      }
      ASSERT_EQ(table.size(), model.size());
    }
    for (const auto& [text, id] : model) {
      ASSERT_EQ(table.text(id), text);
      ASSERT_TRUE(table.used(id));
      const SubjectTable::Messages found = table.messages(id);
      ASSERT_EQ(found.count, messages[text].count);
      ASSERT_EQ(found.first_seq, messages[text].first_seq);
      ASSERT_EQ(found.last_seq, messages[text].last_seq);
    }
  }
}

TEST(SubjectTable, LongSubjectsFit) {
  SubjectTable table(1);
  for (const std::size_t size : {253U, 254U, 255U, 256U, 300U, 65535U}) {
    const std::string text(size, 'm');
    EXPECT_EQ(table.text(table.find_or_add(text)), text);
  }
  const std::string longest(65535, 'l');
  const SubjectTable::Id id = table.find_or_add(longest);
  EXPECT_EQ(table.text(id), longest);
  table.release(id);
  EXPECT_EQ(table.find(longest), SubjectTable::kNone);
  EXPECT_EQ(table.text(table.find_or_add(longest)), longest);
}

// A stream whose messages all have subjects of their own.
TEST(SubjectTable, ASubjectWithOneMessageTakesLittle) {
  SubjectTable table(1);
  constexpr std::uint32_t kSubjects = 90'000;  // of 12 bytes; slots are nearly full
  for (std::uint32_t i = 0; i < kSubjects; ++i) {
    const SubjectTable::Id id = table.find_or_add("event." + std::to_string(100'000 + i));
    table.set_messages(id, {i + 1, i + 1, 1});
  }
  // 8, 16 for the text, and at most 11.
  EXPECT_LT(table.memory_bytes(), kSubjects * std::size_t{35} + (100U << 10U));
}

TEST(SubjectTable, AReusedNumberHasAnotherGeneration) {
  SubjectTable table(1);
  const SubjectTable::Id one = table.find_or_add("one");
  const std::uint32_t generation = table.generation(one);
  table.release(one);
  const SubjectTable::Id two = table.find_or_add("two");
  ASSERT_EQ(one, two);
  EXPECT_NE(table.generation(two), generation);
}

}  // namespace
}  // namespace feedvault::broker::store
