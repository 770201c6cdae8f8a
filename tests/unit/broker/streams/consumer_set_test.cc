#include "broker/streams/consumer_set.h"

#include <algorithm>

#include "tests/unit/broker/streams/consumer_fixture.h"

namespace feedvault::broker::streams {
namespace {

using CreateAction = ConsumerSet::CreateAction;

class Set : public ConsumerTest {
 protected:
  Set() { config_.max_consumers = 4; }

  std::uint32_t refused(CreateAction action = CreateAction::kCreateOrUpdate) {
    const auto created = set().create(consumer_config_, action);
    return created.has_value() ? 0 : created.error().err_code;
  }
  std::string why() {
    const auto created = set().create(consumer_config_, CreateAction::kCreateOrUpdate);
    return created.has_value() ? "" : created.error().description;
  }
};

TEST_F(Set, MakesConsumersByName) {
  create();
  Consumer& made = start();
  EXPECT_EQ(made.name(), "C");
  EXPECT_EQ(made.config().ack_wait_ns, kDefaultAckWaitNs);
  EXPECT_EQ(made.info().created_ns, clock_.unix_ns());
  EXPECT_EQ(set().find("C"), &made);
  EXPECT_EQ(set().find("D"), nullptr);
  EXPECT_EQ(clients_.advisories_of<ConsumerAction>().back().action, Action::kCreate);
  consumer_config_.durable_name.clear();
  Consumer& nameless = start();
  EXPECT_GE(nameless.name().size(), 8U);
  EXPECT_EQ(set().list().size(), 2U);
  EXPECT_EQ(stream_->state().consumers, 2U);
}

TEST_F(Set, TheSameAgainIsTheSame) {
  create();
  Consumer& made = start();
  for (const CreateAction action :
       {CreateAction::kCreate, CreateAction::kCreateOrUpdate, CreateAction::kUpdate}) {
    const auto again = set().create(consumer_config_, action);
    ASSERT_TRUE(again.has_value());
    EXPECT_TRUE(again->existed);
    EXPECT_EQ(again->consumer, &made);
  }
}

TEST_F(Set, ActionsSayWhatMayHappen) {
  create();
  EXPECT_EQ(refused(CreateAction::kUpdate), 10149U);
  start();
  consumer_config_.description = "another";
  EXPECT_EQ(refused(CreateAction::kCreate), 10148U);
  EXPECT_EQ(refused(CreateAction::kUpdate), 0U);
  EXPECT_EQ(consumer().config().description, "another");
}

TEST_F(Set, SomeFieldsStay) {
  create();
  start();
  const ConsumerConfig before = consumer_config_;
  consumer_config_.deliver_policy = DeliverPolicy::kNew;
  EXPECT_EQ(why(), "deliver policy can not be updated");
  consumer_config_ = before;
  consumer_config_.ack_policy = AckPolicy::kAll;
  EXPECT_EQ(why(), "ack policy can not be updated");
  consumer_config_ = before;
  consumer_config_.replay_policy = ReplayPolicy::kOriginal;
  EXPECT_EQ(why(), "replay policy can not be updated");
  consumer_config_ = before;
  consumer_config_.max_waiting = 7;
  EXPECT_EQ(why(), "max waiting can not be updated");
  consumer_config_ = before;
  consumer_config_.deliver_subject = "x";
  EXPECT_EQ(why(), "can not update pull consumer to push based");
  EXPECT_EQ(refused(), 10012U);
}

TEST_F(Set, BoundsTheirNumber) {
  create();
  for (const char* const name : {"A", "B", "C", "D"}) {
    consumer_config_.durable_name = name;
    EXPECT_EQ(refused(), 0U);
  }
  consumer_config_.durable_name = "E";
  EXPECT_EQ(refused(), 10026U);
  EXPECT_FALSE(set().remove("B").has_value());
  EXPECT_EQ(refused(), 0U);
  EXPECT_EQ(set().remove("B")->err_code, 10014U);
}

TEST_F(Set, OnAWorkQueueEachMessageIsForOne) {
  config_.retention = Retention::kWorkQueue;
  create();
  consumer_config_.filter_subject = "ord.a.>";
  EXPECT_EQ(refused(), 0U);
  consumer_config_.durable_name = "D";
  consumer_config_.filter_subject = "ord.*.b";
  EXPECT_EQ(refused(), 10100U);
  consumer_config_.filter_subject.clear();
  EXPECT_EQ(refused(), 10099U);
  consumer_config_.filter_subject = "ord.b";
  EXPECT_EQ(refused(), 0U);
  consumer_config_.filter_subject = "ord.>";
  EXPECT_EQ(refused(), 10100U) << "not by an update either";
}

TEST_F(Set, WhatIsCreatedSurvivesAPowerCut) {
  publish(3);
  consumer_config_.filter_subject = "ord.1";
  consumer_config_.metadata["owner"] = "me";
  start();
  const std::int64_t created_ns = info().created_ns;
  clock_.advance(Seconds(5));
  cut_power();
  ASSERT_NE(set().find("C"), nullptr);
  EXPECT_EQ(consumer().config().metadata.at("owner"), "me");
  EXPECT_EQ(info().created_ns, created_ns);
  EXPECT_EQ(info().num_pending, 1U);
}

TEST_F(Set, UpdatesAndPausesSurviveAPowerCut) {
  start();
  consumer_config_.max_ack_pending = 17;
  EXPECT_EQ(refused(), 0U);
  ASSERT_TRUE(set().pause("C", clock_.unix_ns() + 60'000'000'000).has_value());
  bool durable = false;
  consumer().when_durable([&](const Status& status) { durable = status.ok(); });
  EXPECT_FALSE(durable);
  turn();
  EXPECT_TRUE(durable);
  cut_power();
  EXPECT_EQ(consumer().config().max_ack_pending, 17);
  EXPECT_TRUE(info().paused);
  ASSERT_TRUE(set().pause("C", std::nullopt).has_value());
  EXPECT_FALSE(info().paused);
  EXPECT_EQ(set().pause("X", std::nullopt).error().err_code, 10014U);
}

TEST_F(Set, WhatIsRemovedStaysAway) {
  start();
  EXPECT_FALSE(set().remove("C").has_value());
  cut_power();
  EXPECT_EQ(set().count(), 0U);
}

TEST_F(Set, EphemeralsSurviveAKillUntilTheirTimeIsOver) {
  consumer_config_.durable_name.clear();
  consumer_config_.name = "E";
  start();
  kill();
  ASSERT_NE(set().find("E"), nullptr);
  pass(Seconds(6));
  EXPECT_EQ(set().find("E"), nullptr);
  kill();
  EXPECT_EQ(set().count(), 0U);
}

TEST_F(Set, AnUnfinishedCreationIsNothing) {
  create();
  disk_.set_fault([](testing::PowerLossFileSystem::Op op, const std::string& path) {
    return op == testing::PowerLossFileSystem::Op::kSync && path.find("consumers") != path.npos
               ? io_error("gone")
               : Status();
  });
  EXPECT_EQ(refused(), 10104U);
  EXPECT_EQ(set().count(), 0U);
  disk_.set_fault(nullptr);
  kill();
  EXPECT_EQ(set().count(), 0U);
  EXPECT_TRUE(set().unusable().empty());
}

TEST_F(Set, AFileOfRubbishIsLeftAndToldOf) {
  start();
  std::string path;
  for (const std::string& each : disk_.files()) {
    path = each.find("/consumers/") != std::string::npos ? each : path;
  }
  ASSERT_NE(path, "");
  const std::string good = disk_.contents(path);
  store::StateFile::Contents contents;
  {
    auto file = store::StateFile::open(disk_, "/streams/ORD/consumers/9.state", contents);
    ASSERT_TRUE(file.has_value());
    ASSERT_TRUE((*file)->write_snapshot("\x07 from the future", store::Promise::kSynced).ok());
  }
  kill();
  ASSERT_EQ(set().unusable().size(), 1U);
  EXPECT_EQ(set().unusable()[0].path, "/streams/ORD/consumers/9.state");
  EXPECT_EQ(set().unusable()[0].why.message(),
            "the consumer's state has version 7, and this program reads 1");
  EXPECT_EQ(set().count(), 1U);
  consumer_config_.durable_name = "D";
  start();
  kill();
  EXPECT_EQ(set().unusable().size(), 1U) << "its name was not used again";
  EXPECT_EQ(set().count(), 2U);
}

// Not a word of it can be read, not even its name. What it had not seen stays.
TEST_F(Set, AnUnreadableConsumerIsToldOfAndCostsNoMessage) {
  config_.retention = Retention::kInterest;
  create();
  consumer_config_.durable_name = "D";
  start();
  consumer_config_.durable_name = "C";
  start();
  publish(5);
  stream_.reset();
  const std::string path = "/streams/ORD/consumers/1.state";
  const std::string whole = disk_.contents(path);
  disk_.set_contents(path, std::string(whole.size(), 'r'));
  reopen();
  ASSERT_EQ(set().unusable().size(), 1U);
  EXPECT_EQ(set().unusable()[0].path, path);
  EXPECT_EQ(set().unusable()[0].why.message(), "nothing in it can be read, so a consumer is lost");
  EXPECT_EQ(set().count(), 1U);
  pull(5);
  for (int i = 1; i <= 5; ++i) {
    answer("m" + std::to_string(i));
  }
  publish(1);
  EXPECT_EQ(stream_->state().messages, 6U) << "it may want them";
  stream_.reset();
  disk_.set_contents(path, whole);  // from a backup
  reopen();
  EXPECT_TRUE(set().unusable().empty());
  EXPECT_EQ(set().count(), 2U);
  EXPECT_EQ(stream_->state().messages, 6U);
}

// Deleted, but killed before its file was gone, and made again under the same name.
TEST_F(Set, OfTwoFilesWithOneNameTheNewerIsTheConsumer) {
  create();
  start();
  stream_.reset();
  const std::string path = "/streams/ORD/consumers/1.state";
  const std::string older = disk_.contents(path);
  reopen();
  ASSERT_FALSE(set().remove("C").has_value());
  consumer_config_.description = "the newer one";
  start();
  stream_.reset();
  disk_.set_contents(path, older);
  reopen();
  EXPECT_EQ(set().count(), 1U);
  EXPECT_EQ(consumer().config().description, "the newer one");
  EXPECT_TRUE(set().unusable().empty());
  const auto files = disk_.files();
  EXPECT_EQ(std::ranges::find(files, path), files.end());
}

TEST_F(Set, DamageMakesMessagesComeAgainAndIsToldOf) {
  publish(20);
  start();
  pull(10);
  answer("m1");
  answer("m2");
  std::string path;
  for (const std::string& each : disk_.files()) {
    path = each.find("/consumers/") != std::string::npos ? each : path;
  }
  std::string bytes = disk_.contents(path);
  bytes[bytes.size() - 60] = static_cast<char>(bytes[bytes.size() - 60] ^ 0x10);
  stream_.reset();
  disk_.set_contents(path, bytes);
  reopen();
  ASSERT_NE(set().find("C"), nullptr);
  EXPECT_LE(info().ack_floor.stream, 2U);
  EXPECT_EQ(set().damaged(), Words{"C"});
  got();
  for (int i = 0; i < 3; ++i) {
    pull(20);
    pass(Seconds(31));
  }
  const Words words = got();
  for (int i = 3; i <= 20; ++i) {
    EXPECT_NE(std::find(words.begin(), words.end(), "m" + std::to_string(i)), words.end()) << i;
  }
}

TEST_F(Set, DeliveriesAreCountedThroughAKill) {
  consumer_config_.max_deliver = 3;
  consumer_config_.ack_wait_ns = 1'000'000'000;
  publish(1);
  start();
  for (std::uint64_t i = 1; i <= 3; ++i) {
    pull(1);
    EXPECT_EQ(got(), Words{"m1"});
    EXPECT_EQ(deliveries_of("m1"), i);
    EXPECT_EQ(delivery_of("m1").consumer_seq, i);
    kill();
    pass(Seconds(1));
  }
  pull(1);
  EXPECT_EQ(got(), Words{});
  EXPECT_EQ(info().num_redelivered, 1U);
}

TEST_F(Set, TheAckWaitGoesOnThroughAKill) {
  consumer_config_.ack_wait_ns = 10'000'000'000;
  publish(2);
  start();
  pull(1);
  pass(Seconds(4));
  pull(1);
  got();
  kill();
  pull(5);
  got();
  pass(Ms(5'999));
  EXPECT_EQ(got(), Words{});
  pass(Ms(2));
  EXPECT_EQ(got(), Words{"m1"});
  pass(Seconds(4));
  EXPECT_EQ(got(), Words{"m2"});
}

TEST_F(Set, ANakSurvivesAKill) {
  consumer_config_.ack_wait_ns = 60'000'000'000;
  publish(2);
  start();
  pull(2);
  answer("m2", "-NAK");
  answer("m1", "-NAK 5s");
  got();
  kill();
  pull(5);
  EXPECT_EQ(got(), Words{"m2"});
  pass(Seconds(5));
  EXPECT_EQ(got(), Words{"m1"});
}

TEST_F(Set, AnotherFilterCountsAnew) {
  publish(9);
  start();
  pull(3);
  got();
  consumer_config_.filter_subject = "ord.2";
  EXPECT_EQ(refused(), 0U);
  EXPECT_EQ(info().num_pending, 2U);
  pull(5);
  EXPECT_EQ(got(), (Words{"m5", "m8"}));
}

TEST_F(Set, AnotherAckWaitHoldsForWhatIsOut) {
  publish(1);
  start();
  pull(5);
  got();
  pass(Seconds(2));
  consumer_config_.ack_wait_ns = 5'000'000'000;
  EXPECT_EQ(refused(), 0U);
  pass(Ms(2'999));
  EXPECT_EQ(got(), Words{});
  pass(Ms(1));
  EXPECT_EQ(got(), Words{"m1"});
}

TEST_F(Set, AStreamThatGoesTakesItsConsumersAlong) {
  start();
  pull(1);
  ASSERT_TRUE(stream_->destroy().ok());
  EXPECT_EQ(got(), Words{"409 Consumer Deleted"});
  stream_.reset();
  EXPECT_TRUE(disk_.files().empty());
}

TEST_F(Set, ManyConsumersCostOnlyTheirOwnWork) {
  config_.max_consumers = 0;
  create();
  consumer_config_.mem_storage = true;
  for (int i = 0; i < 500; ++i) {
    consumer_config_.durable_name = "C" + std::to_string(i);
    ASSERT_EQ(refused(), 0U);
  }
  turn();
  EXPECT_EQ(stream_->next_deadline(), SteadyTime::max());
  PullRequest request;
  request.expires_ns = 1'000'000'000;
  consumer("C17").on_pull("inbox.17", request);
  EXPECT_EQ(stream_->next_deadline(), clock_.now() + Seconds(1));
  publish(1);
  EXPECT_EQ(got(), Words{"m1"});
  EXPECT_EQ(consumer("C18").info().num_pending, 1U);
}

}  // namespace
}  // namespace feedvault::broker::streams
