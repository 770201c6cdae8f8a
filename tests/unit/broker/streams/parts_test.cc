// The stream's small parts: transforms, headers, the duplicate window, answers, files in memory.

#include <map>
#include <random>

#include <gtest/gtest.h>

#include "broker/streams/answer_queue.h"
#include "broker/streams/duplicate_window.h"
#include "broker/streams/memory_file_system.h"
#include "broker/streams/pub_ack.h"
#include "broker/streams/publish_headers.h"
#include "broker/streams/rfc3339.h"
#include "broker/streams/subject_transform.h"

namespace feedvault::broker::streams {
namespace {

std::string transformed(const std::string& source,
                        const std::string& destination,
                        const std::string& subject) {
  const auto transform = SubjectTransform::compile({source, destination});
  if (!transform.has_value()) {
    return transform.error().message();
  }
  std::string out;
  return transform->apply(subject, out) ? out : "no match";
}

TEST(SubjectTransformTest, DoesWhatAdr30Says) {
  EXPECT_EQ(transformed("foo", "bar", "foo"), "bar");
  EXPECT_EQ(transformed("foo", "bar", "food"), "no match");
  EXPECT_EQ(transformed("foo.*", "bar.$1", "foo.x"), "bar.x");
  EXPECT_EQ(transformed("foo.*.*", "bar.{{wildcard(2)}}.{{Wildcard(1)}}", "foo.x.y"), "bar.y.x");
  EXPECT_EQ(transformed("foo.*.*", "bar.$2", "foo.x.y"), "bar.y");
  EXPECT_EQ(transformed("foo.>", "bar.>", "foo.x.y.z"), "bar.x.y.z");
  EXPECT_EQ(transformed("", "copy.>", "foo.x"), "copy.foo.x");
  EXPECT_EQ(transformed("foo.*.>", "$1.>", "foo.x.y.z"), "x.y.z");
  EXPECT_EQ(transformed("*", "{{splitfromleft(1,3)}}", "12345"), "123.45");
  EXPECT_EQ(transformed("*", "{{SplitFromRight(1,3)}}", "12345"), "12.345");
  EXPECT_EQ(transformed("*", "{{SplitFromLeft(1,9)}}", "12345"), "12345");
  EXPECT_EQ(transformed("*", "{{SplitFromRight(1,5)}}", "12345"), "12345");
  EXPECT_EQ(transformed("*", "{{SliceFromLeft(1,3)}}", "1234567890"), "123.456.789.0");
  EXPECT_EQ(transformed("*", "{{SliceFromRight(1,3)}}", "1234567890"), "1.234.567.890");
  EXPECT_EQ(transformed("*", "{{SliceFromRight(1,3)}}", "123456"), "123.456");
  EXPECT_EQ(transformed("*", "{{split(1,-)}}", "-abc-def--ghi-"), "abc.def.ghi");
  EXPECT_EQ(transformed("*", "x.{{split(1,-)}}", "--"), "no match");
  EXPECT_EQ(transformed("*.*", "{{ split( 1 , - ) }}.{{wildcard(2)}}", "a-b.c"), "a.b.c");
}

TEST(SubjectTransformTest, PartitionsAsTheReferenceDoes) {
  // FNV-1a of the tokens behind each other: examples of ADR-30's family, computed apart.
  EXPECT_EQ(transformed("foo.*", "bar.$1.{{partition(10,1)}}", "foo.a"), "bar.a.0");
  EXPECT_EQ(transformed("foo.*.*", "{{partition(5,1,2)}}", "foo.fo.o"),
            transformed("foo.*", "{{partition(5,1)}}", "foo.foo"));
}

TEST(SubjectTransformTest, RefusesWhatCannotWork) {
  const auto starts = [](const std::string& destination, const std::string& text) {
    const std::string got = transformed("foo.*", destination, "foo.x");
    EXPECT_TRUE(got.starts_with("invalid mapping destination" + text))
        << destination << ": " << got;
  };
  starts("bar.$2", ": wildcard index out of range");
  starts("bar.$0", ": wildcard index out of range");
  starts("bar.{{wildcard(2)}}", ": wildcard index out of range");
  starts("bar.{{wildcard()}}", ": not enough arguments");
  starts("bar.{{wildcard(1,2)}}", ": too many arguments");
  starts("bar.{{wildcard(x)}}", ": function argument is invalid");
  starts("bar.{{partition(0,1)}}", ": function argument is invalid");
  starts("bar.{{split(1,.)}}", ": function argument is invalid");
  starts("bar.{{magic(1)}}", ": unknown function");
  starts("bar.*", "");
  starts("bar.>", "");
  starts("bar..x", "");
  starts("", "");
  EXPECT_FALSE(SubjectTransform::compile({"foo.>", "bar"}).has_value());
}

TEST(PublishHeadersTest, AreReadExactly) {
  const PublishHeaders headers = read_publish_headers(
      "NATS/1.0\r\nOther: 1\r\nNats-Msg-Id:  a b \r\nNats-Msg-Id: second\r\n"
      "Nats-Expected-Stream:S\r\nNats-Expected-Last-Sequence: 12\r\n"
      "Nats-Expected-Last-Subject-Sequence: -1\r\nNats-Expected-Last-Msg-Id: l\r\n"
      "Nats-Rollup: all\r\nnats-rollup: sub\r\n\r\n");
  EXPECT_EQ(headers.message_id, "a b");
  EXPECT_EQ(headers.expected_stream, "S");
  EXPECT_EQ(headers.expected_last_seq, 12U);
  EXPECT_EQ(headers.expected_last_subject_seq, ~std::uint64_t{0});
  EXPECT_EQ(headers.expected_last_id, "l");
  EXPECT_EQ(headers.rollup, "all");
  for (const char* const odd :
       {"", "NATS/1.0", "NATS/1.0\r\n", "NATS/1.0\r\nNats-Msg-Id\r\n\r\n"}) {
    EXPECT_EQ(read_publish_headers(odd).message_id, "");
  }
}

DuplicateWindow::Saved saved_of(std::string_view text) {
  DuplicateWindow::Saved saved;
  saved.bytes = std::make_unique<char[]>(text.size());
  text.copy(saved.bytes.get(), text.size());
  saved.text = {saved.bytes.get(), text.size()};
  return saved;
}

// Restarts in between: then some ids are where they were saved, and others are new.
TEST(DuplicateWindowTest, IsAMapThatForgetsTheOldest) {
  std::mt19937_64 random(7);
  auto window = std::make_unique<DuplicateWindow>();
  std::map<std::string, std::pair<StreamSeq, std::int64_t>> model;
  std::int64_t now = 0;
  for (StreamSeq seq = 1; seq < 20000; ++seq) {
    now += static_cast<std::int64_t>(random() % 5);
    const std::string id(1 + random() % 40, static_cast<char>('a' + random() % 26));
    const auto known = model.find(id);
    ASSERT_EQ(window->find(id), known == model.end() ? 0 : known->second.first);
    if (known == model.end()) {
      window->add(id, seq, now);
      model[id] = {seq, now};
    }
    const std::string unique = "u" + std::to_string(seq);
    window->add(unique, seq, now);
    model[unique] = {seq, now};
    if (random() % 50 != 0) {
      continue;
    }
    const std::int64_t oldest = now - static_cast<std::int64_t>(random() % 2000);
    window->expire_before(oldest);
    std::erase_if(model, [oldest](const auto& one) { return one.second.second < oldest; });
    ASSERT_EQ(window->empty(), model.empty());
    std::string saved = "in front";
    window->save(saved);
    ASSERT_LE(saved.size(), 64 + model.size() * 33) << "forgotten ones are not saved";
    auto loaded = std::make_unique<DuplicateWindow>();
    ASSERT_TRUE(loaded->load(saved_of(std::string_view(saved).substr(8)), oldest + 100));
    ASSERT_FALSE(DuplicateWindow().load(saved_of(std::string_view(saved).substr(9)), 0));
    for (const auto& [text, value] : model) {
      ASSERT_EQ(window->find(text), value.first);
      ASSERT_EQ(loaded->find(text), value.second < oldest + 100 ? 0 : value.first);
    }
    if (random() % 3 == 0) {
      window = std::move(loaded);
      std::erase_if(model, [oldest](const auto& one) { return one.second.second < oldest + 100; });
    }
  }
  window->expire_before(now + 1);
  EXPECT_TRUE(window->empty());
  EXPECT_EQ(window->find("u19999"), 0U);
}

TEST(AnswerQueueTest, KeepsOrderAndGivesMemoryBack) {
  AnswerQueue queue;
  StreamSeq in = 0;
  StreamSeq out = 0;
  std::mt19937_64 random(3);
  for (int i = 0; i < 50000; ++i) {
    if (random() % 2 == 0) {
      ++in;
      const std::string reply = "r" + std::to_string(in);
      const std::string error(random() % 3 == 0 ? random() % 50 : 0, 'e');
      queue.push({AnswerQueue::Kind::kError, in, in * 2, reply, error});
    } else if (!queue.empty()) {
      ++out;
      const AnswerQueue::Answer answer = queue.front();
      ASSERT_EQ(answer.covers, out);
      ASSERT_EQ(answer.seq, out * 2);
      ASSERT_EQ(answer.reply, "r" + std::to_string(out));
      queue.pop();
    }
    ASSERT_EQ(queue.size(), in - out);
  }
}

TEST(PubAckTest, IsWrittenAsTheReferenceWritesIt) {
  PubAckWriter plain("ORD", "");
  EXPECT_EQ(plain.acknowledge(12, false), R"({"stream":"ORD", "seq":12})");
  EXPECT_EQ(plain.acknowledge(2, true), R"({"stream":"ORD", "seq":2,"duplicate": true})");
  PubAckWriter domain("ORD", "hub");
  EXPECT_EQ(domain.acknowledge(1, false), R"({"stream":"ORD", "domain":"hub", "seq":1})");
  EXPECT_EQ(json_quoted("a\"b\\c\n<\xff\xc3\xa4"), "\"a\\\"b\\\\c\\u000a\\u003c\\ufffd\xc3\xa4\"");
}

TEST(Rfc3339Test, HasNineDecimalsWithoutZerosAtTheEnd) {
  EXPECT_EQ(format_rfc3339_ns(1'795'294'169'806'346'437), "2026-11-21T20:49:29.806346437Z");
  EXPECT_EQ(format_rfc3339_ns(1'795'294'169'800'000'000), "2026-11-21T20:49:29.8Z");
  EXPECT_EQ(format_rfc3339_ns(1'795'294'169'000'000'000), "2026-11-21T20:49:29Z");
  EXPECT_EQ(format_rfc3339_ns(-1), "1969-12-31T23:59:59.999999999Z");
}

TEST(MemoryFileSystemTest, HoldsFilesLikeADisk) {
  MemoryFileSystem fs;
  EXPECT_EQ(fs.open("/d/a").error().code(), StatusCode::kNotFound);
  EXPECT_EQ(fs.list("/d").error().code(), StatusCode::kNotFound);
  ASSERT_TRUE(fs.make_dir("/d").ok());
  auto file = fs.create("/d/a");
  ASSERT_TRUE(file.has_value());
  std::string model;
  std::mt19937_64 random(5);
  for (int i = 0; i < 300; ++i) {
    if (random() % 10 == 0) {
      model.resize(random() % 300000);
      ASSERT_TRUE((*file)->truncate(model.size()).ok());
    } else {
      const std::string bytes(random() % 100000, static_cast<char>('a' + i % 26));
      const std::size_t at = random() % (model.size() + 1000);
      if (model.size() < at + bytes.size()) {
        model.resize(at + bytes.size());
      }
      model.replace(at, bytes.size(), bytes);
      ASSERT_TRUE((*file)->write_at(at, bytes).ok());
    }
    if (model.size() > 500000) {
      model.resize(1000);
      ASSERT_TRUE((*file)->truncate(1000).ok());
    }
    std::string read(model.size() + 10, '?');
    const auto count = (*file)->read_at(0, read);
    ASSERT_TRUE(count.has_value());
    read.resize(*count);
    ASSERT_EQ(read, model) << i;
  }
  ASSERT_TRUE(fs.rename("/d/a", "/d/b").ok());
  const auto entries = fs.list("/d");
  ASSERT_TRUE(entries.has_value());
  ASSERT_EQ(entries->size(), 1U);
  EXPECT_EQ((*entries)[0].name, "b");
  ASSERT_TRUE(fs.remove("/d/b").ok());
  EXPECT_EQ(fs.remove("/d/b").code(), StatusCode::kNotFound);
}

}  // namespace
}  // namespace feedvault::broker::streams
