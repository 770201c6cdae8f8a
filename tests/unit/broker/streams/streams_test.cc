#include "broker/streams/streams.h"

#include "tests/unit/broker/streams/stream_fixture.h"

namespace feedvault::broker::streams {
namespace {

class StreamsTest : public StreamTest {
 protected:
  StreamsTest() { open(); }

  void open() {
    streams_.reset();
    Streams::Options options;
    options.stream = options_;
    options.streams_max = 3;
    auto opened = Streams::open(options);
    ASSERT_TRUE(opened.has_value()) << opened.error().to_string();
    streams_ = std::move(*opened);
  }
  std::string create(const std::string& name,
                     const std::string& subject,
                     const std::string& description = {}) {
    StreamConfig config;
    config.name = name;
    config.subjects = {subject};
    config.description = description;
    const auto created = streams_->create(config);
    return !created.has_value() ? created.error().description
           : created->existed   ? "existed"
                                : "made";
  }
  std::string names(std::string_view filter = {}) {
    std::string all;
    for (const Stream* const stream : streams_->list(filter)) {
      all += (all.empty() ? "" : " ") + stream->name();
    }
    return all;
  }

  std::unique_ptr<Streams> streams_;
};

TEST_F(StreamsTest, AreMadeFoundChangedAndRemoved) {
  EXPECT_EQ(create("B", "b.>"), "made");
  EXPECT_EQ(create("A", "a.*"), "made");
  EXPECT_EQ(create("A", "a.*"), "existed");
  EXPECT_EQ(create("A", "a.*", "other"),
            "stream name already in use with a different configuration");
  EXPECT_EQ(create("C", "b.x"), "subjects overlap with an existing stream");
  EXPECT_EQ(names(), "A B");
  EXPECT_EQ(names("b.*.c"), "B");
  EXPECT_EQ(create("C", "c"), "made");
  EXPECT_EQ(create("D", "d"), "maximum number of streams reached");
  EXPECT_EQ(streams_->remove("X")->err_code, 10059U);
  EXPECT_FALSE(streams_->remove("C").has_value());
  EXPECT_EQ(streams_->find("C"), nullptr);
  StreamConfig config = streams_->find("A")->config();
  config.subjects = {"b.q"};
  EXPECT_EQ(streams_->update(config).error().err_code, 10065U);
  config.subjects = {"a.>"};
  ASSERT_TRUE(streams_->update(config).has_value());
  config.name = "X";
  EXPECT_EQ(streams_->update(config).error().err_code, 10059U);
  open();
  EXPECT_EQ(names(), "A B");
  EXPECT_EQ(streams_->find("A")->config().subjects, std::vector<std::string>{"a.>"});
  ASSERT_EQ(output_.advisories.size(), 5U);
  EXPECT_EQ(std::get<StreamAction>(output_.advisories[3]).action, Action::kDelete);
  EXPECT_EQ(std::get<StreamAction>(output_.advisories[4]).action, Action::kModify);
}

TEST_F(StreamsTest, ARecreatedStreamIsANewOne) {
  create("A", "a");
  Stream* const first = streams_->find("A");
  first->store({"a", {}, {}, "x"});
  first->commit();
  const std::int64_t created = first->created_ns();
  ASSERT_FALSE(streams_->remove("A").has_value());
  clock_.advance(std::chrono::seconds(1));
  EXPECT_EQ(create("A", "a"), "made");
  EXPECT_EQ(streams_->find("A")->state().last_seq, 0U);
  EXPECT_GT(streams_->find("A")->created_ns(), created);
}

TEST_F(StreamsTest, StreamsInMemoryAreGoneAfterAStart) {
  StreamConfig config;
  config.name = "M";
  config.storage = StorageType::kMemory;
  ASSERT_TRUE(streams_->create(config).has_value());
  open();
  EXPECT_EQ(names(), "");
}

TEST_F(StreamsTest, AnUnreadableConfigurationIsReportedAndItsNameNotUsed) {
  create("A", "a");
  create("B", "b");
  streams_.reset();
  disk_.set_contents("/streams/A/stream.state", "rubbish");
  open();
  EXPECT_EQ(names(), "B");
  ASSERT_EQ(streams_->unusable().size(), 1U);
  EXPECT_EQ(streams_->unusable()[0].name, "A");
  EXPECT_NE(streams_->unusable()[0].why.message().find("restore it"), std::string::npos);
  EXPECT_NE(create("A", "a").find("damaged stream"), std::string::npos);
  EXPECT_TRUE(streams_->find("B")->failure().ok());
}

TEST_F(StreamsTest, RoomIsReservedWhileAStreamIsMadeOrChanged) {
  StreamConfig config;
  config.name = "A";
  config.subjects = {"a"};
  config.max_bytes = 1000;
  auto creation = streams_->begin_create(config);
  ASSERT_TRUE(creation.has_value());
  EXPECT_EQ(streams_->reserved_bytes(StorageType::kFile, "B"), 1000);
  EXPECT_EQ(streams_->reserved_bytes(StorageType::kFile, "A"), 0);
  EXPECT_EQ(streams_->reserved_bytes(StorageType::kMemory, "B"), 0);
  config.name = "B";
  EXPECT_EQ(streams_->create(config).error().err_code, 10065U) << "its subjects, too";
  config.name = "A";
  (*creation)->run();
  ASSERT_TRUE(streams_->end_create(**creation).has_value());
  EXPECT_EQ(streams_->reserved_bytes(StorageType::kFile, "B"), 1000);
  config.max_bytes = 5000;
  const auto updated = streams_->begin_update(config);
  ASSERT_TRUE(updated.has_value());
  EXPECT_EQ(streams_->reserved_bytes(StorageType::kFile, "B"), 5000);
  (*updated)->run_update();
  ASSERT_TRUE(streams_->end_update(**updated).has_value());
  EXPECT_EQ(streams_->reserved_bytes(StorageType::kFile, "B"), 5000);
}

TEST_F(StreamsTest, WhatAnUnfinishedCreationLeftIsUsedAgain) {
  ASSERT_TRUE(disk_.make_dir("/streams/A").ok());
  open();
  EXPECT_TRUE(streams_->unusable().empty());
  EXPECT_EQ(create("A", "a"), "made");
}

}  // namespace
}  // namespace feedvault::broker::streams
