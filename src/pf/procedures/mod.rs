//! The procedures of the change request: this list is the table of contents.
//!
//! Files are named by clause and title.

#[path = "8_3_2_9_1_2_item_1_active_group.rs"]
pub(super) mod active_group;
#[path = "8_3_2_9_deferred_group_session_handling.rs"]
pub(super) mod deferred_handling;
/// The second half of 8.3.2.9.1.1: what happens to a notification, and the way by which it leaves.
#[path = "8_3_2_9_1_1_disposition_notifications.rs"]
pub(super) mod disposition_notifications;
#[path = "8_3_2_9_1_2_group_session_delivery.rs"]
pub(super) mod group_delivery;
#[path = "8_3_2_8_group_session_rejoin_requests.rs"]
pub(super) mod group_rejoin;
#[path = "8_3_2_9_1_2_item_2_inactive_group.rs"]
pub(super) mod inactive_group;
/// Cited by 8.3.2.9.1.1, for Clients without disposition notifications.
#[path = "8_3_4_sending_a_disposition_notification.rs"]
pub(super) mod notification_sending;
/// The second half of 8.3.2.9.1.1: delivery in a session of their own.
#[path = "8_3_2_9_1_1_notification_session.rs"]
pub(super) mod notification_session;
#[path = "8_3_2_9_1_1_one_to_one_session_delivery.rs"]
pub(super) mod one_to_one_delivery;
/// Set-up of a 1-1 session for a served user, by the same step 7.
#[path = "8_3_2_1_one_to_one_invitation.rs"]
pub(super) mod one_to_one_invitation;
/// The same for sessions that are no group's.
#[path = "8_3_2_5_one_to_one_session_modification.rs"]
pub(super) mod one_to_one_modification;
#[path = "8_3_2_6_participants_information.rs"]
pub(super) mod participants_information;
#[path = "8_3_2_7_participant_information_notification.rs"]
pub(super) mod participants_notification;
#[path = "8_3_2_9_1_4_race_conditions.rs"]
pub(super) mod race_conditions;
/// Trigger A of 8.3.2.9.
#[path = "8_3_2_9_a_third_party_register.rs"]
pub(super) mod registration;
/// Trigger A of 8.3.2.9 by the registration event package.
#[path = "8_3_2_9_a_registration_event.rs"]
pub(super) mod registration_event;
#[path = "8_3_2_9_1_3_delivery_upon_rejoin.rs"]
pub(super) mod rejoin_delivery;
#[path = "8_3_2_9_1_3_item_1_restart_upon_rejoin.rs"]
pub(super) mod restart;
/// Set-up of a group session for a served user: step 7 of 8.3.2.1, which item 3 of 8.3.2.9.1.2 cites.
#[path = "8_3_2_1_session_invitation.rs"]
pub(super) mod session_invitation;
#[path = "8_3_2_5_session_modification_request.rs"]
pub(super) mod session_modification;
/// Standalone messages for a served user.
#[path = "8_3_2_1_standalone_message.rs"]
pub(super) mod standalone_message;
