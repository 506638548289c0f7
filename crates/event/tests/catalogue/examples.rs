//! The contract's own example of every event that producers may publish.

use serde_json::Value;
use switchboard_event::payload::{
    CampaignCompleted, CampaignFailed, CampaignPaused, CampaignProgress, CampaignResumed,
    CampaignStarted, CampaignStatsUpdate, ContactCreated, ContactDeleted, ContactTyping,
    ContactUpdated, FlowCompleted, FlowFailed, FlowStarted, MessageDelivered, MessageFailed,
    MessageRead, MessageReceived, MessageSent, MessageStatusUpdate, SystemNotification,
    TeamActivity, WhatsappConnectionStatus, WhatsappDisconnected, WhatsappQrGenerated,
    WhatsappReady,
};
use switchboard_event::{Draft, Payload};

/// One event of the contract.
pub(crate) struct Row {
    pub(crate) event: &'static str,
    pub(crate) data: &'static str,
    pub(crate) rooms: &'static [&'static str],
    /// What cannot be left out: ids, discriminators, and the objects that hold them.
    pub(crate) required: &'static [&'static str],
    /// Reads the example as the Rust type and writes it again.
    pub(crate) typed: fn(&str) -> Value,
}

fn row<P: Payload>(
    data: &'static str,
    rooms: &'static [&'static str],
    required: &'static [&'static str],
) -> Row {
    let typed = |data: &str| {
        let payload: P = serde_json::from_str(data).unwrap();
        let draft = Draft::of(&payload).unwrap();
        assert_eq!(draft.event, P::EVENT);
        serde_json::from_str(draft.data.get()).unwrap()
    };
    Row {
        event: P::EVENT,
        data,
        rooms,
        required,
        typed,
    }
}

/// The events that producers may publish, in the order of the contract.
pub(crate) fn rows() -> Vec<Row> {
    let mut rows = whatsapp_rows();
    rows.extend(message_rows());
    rows.extend(campaign_rows());
    rows.extend(campaign_end_rows());
    rows.extend(other_rows());
    rows
}

fn whatsapp_rows() -> Vec<Row> {
    vec![
        row::<WhatsappQrGenerated>(
            r#"{
  "accountId": "uuid",
  "qrCode": "base64-qr-code-string",
  "expiresAt": "2025-11-05T10:02:00Z",
  "timestamp": "2025-11-05T10:00:00Z"
}"#,
            &["whatsapp:uuid:link"],
            &["accountId"],
        ),
        row::<WhatsappReady>(
            r#"{
  "accountId": "uuid",
  "accountInfo": {
    "phoneNumber": "1234567890",
    "displayName": "Business Name"
  },
  "timestamp": "2025-11-05T10:00:00Z"
}"#,
            &["whatsapp:uuid"],
            &["accountId"],
        ),
        row::<WhatsappConnectionStatus>(
            r#"{
  "accountId": "uuid",
  "status": "Connected",
  "message": "Status message",
  "timestamp": "2025-11-05T10:00:00Z"
}"#,
            &["whatsapp:uuid"],
            &["accountId", "status"],
        ),
        row::<WhatsappDisconnected>(
            r#"{
  "accountId": "uuid",
  "reason": "Disconnection reason",
  "timestamp": "2025-11-05T10:00:00Z"
}"#,
            &["whatsapp:uuid"],
            &["accountId"],
        ),
    ]
}

#[expect(clippy::too_many_lines, reason = "a table")]
fn message_rows() -> Vec<Row> {
    vec![
        row::<MessageStatusUpdate>(
            r#"{
  "messageId": "uuid",
  "status": "Queued",
  "contactId": "uuid-c",
  "whatsappAccountId": "uuid-w",
  "timestamp": "2025-11-05T10:00:00Z"
}"#,
            &["whatsapp:uuid-w", "contact:uuid-c"],
            &["messageId", "status", "contactId", "whatsappAccountId"],
        ),
        row::<MessageReceived>(
            r#"{
  "message": {
    "id": "uuid",
    "contactId": "uuid-c",
    "whatsappAccountId": "uuid-w",
    "direction": "Inbound",
    "type": "Text",
    "content": "Message content",
    "mediaUrl": "https://...",
    "createdAt": "2025-11-05T10:00:00Z"
  },
  "timestamp": "2025-11-05T10:00:00Z"
}"#,
            &["whatsapp:uuid-w", "contact:uuid-c"],
            &[
                "message",
                "message.id",
                "message.contactId",
                "message.whatsappAccountId",
                "message.direction",
                "message.type",
            ],
        ),
        row::<MessageSent>(
            r#"{
  "message": {
    "id": "uuid",
    "contactId": "uuid-c",
    "whatsappAccountId": "uuid-w",
    "direction": "Outbound",
    "type": "Text",
    "content": "Message content",
    "status": "Sent",
    "sentAt": "2025-11-05T10:00:00Z"
  },
  "timestamp": "2025-11-05T10:00:00Z"
}"#,
            &["whatsapp:uuid-w", "contact:uuid-c"],
            &[
                "message",
                "message.id",
                "message.contactId",
                "message.whatsappAccountId",
                "message.direction",
                "message.type",
                "message.status",
            ],
        ),
        row::<MessageDelivered>(
            r#"{
  "messageId": "uuid",
  "deliveredAt": "2025-11-05T10:00:00Z",
  "timestamp": "2025-11-05T10:00:00Z"
}"#,
            &["contact:m"],
            &["messageId"],
        ),
        row::<MessageRead>(
            r#"{
  "messageId": "uuid",
  "readAt": "2025-11-05T10:00:00Z",
  "timestamp": "2025-11-05T10:00:00Z"
}"#,
            &["contact:m"],
            &["messageId"],
        ),
        row::<MessageFailed>(
            r#"{
  "messageId": "uuid",
  "error": "Error message",
  "timestamp": "2025-11-05T10:00:00Z"
}"#,
            &["contact:m"],
            &["messageId"],
        ),
    ]
}

fn campaign_rows() -> Vec<Row> {
    vec![
        row::<CampaignStarted>(
            r#"{
  "campaignId": "uuid",
  "campaign": {
    "name": "Campaign Name",
    "totalRecipients": 1000
  },
  "timestamp": "2025-11-05T10:00:00Z"
}"#,
            &["campaign:uuid"],
            &["campaignId"],
        ),
        row::<CampaignProgress>(
            r#"{
  "campaignId": "uuid",
  "progress": {
    "sent": 500,
    "total": 1000,
    "percentage": 50.5,
    "failed": 5
  },
  "timestamp": "2025-11-05T10:00:00Z"
}"#,
            &["campaign:uuid"],
            &["campaignId"],
        ),
        row::<CampaignCompleted>(
            r#"{
  "campaignId": "uuid",
  "stats": {
    "totalRecipients": 1000,
    "sentCount": 995,
    "deliveredCount": 990,
    "readCount": 850,
    "failedCount": 5,
    "deliveryRate": 99.5,
    "readRate": 85.0
  },
  "timestamp": "2025-11-05T10:00:00Z"
}"#,
            &["campaign:uuid"],
            &["campaignId"],
        ),
        row::<CampaignStatsUpdate>(
            r#"{
  "campaignId": "uuid",
  "stats": {
    "totalRecipients": 1000,
    "sentCount": 995,
    "deliveredCount": 990,
    "readCount": 850,
    "failedCount": 5,
    "deliveryRate": 99.5,
    "readRate": 85.0
  },
  "timestamp": "2025-11-05T10:00:00Z"
}"#,
            &["campaign:uuid"],
            &["campaignId"],
        ),
    ]
}

fn campaign_end_rows() -> Vec<Row> {
    vec![
        row::<CampaignPaused>(CAMPAIGN_ONLY, &["campaign:uuid"], &["campaignId"]),
        row::<CampaignResumed>(CAMPAIGN_ONLY, &["campaign:uuid"], &["campaignId"]),
        row::<CampaignFailed>(
            r#"{
  "campaignId": "uuid",
  "error": "Error message",
  "timestamp": "2025-11-05T10:00:00Z"
}"#,
            &["campaign:uuid"],
            &["campaignId"],
        ),
    ]
}

const CAMPAIGN_ONLY: &str = r#"{
  "campaignId": "uuid",
  "timestamp": "2025-11-05T10:00:00Z"
}"#;

#[expect(clippy::too_many_lines, reason = "a table")]
fn other_rows() -> Vec<Row> {
    vec![
        row::<ContactCreated>(
            r#"{
  "contact": {
    "id": "uuid",
    "name": "John Doe",
    "phone": "+1234567890",
    "email": "john@example.com"
  },
  "timestamp": "2025-11-05T10:00:00Z"
}"#,
            &["contact:uuid", "contacts:acme"],
            &["contact", "contact.id"],
        ),
        row::<ContactUpdated>(
            r#"{
  "contactId": "uuid",
  "updates": {
    "name": "John Smith",
    "email": "john.smith@example.com"
  },
  "timestamp": "2025-11-05T10:00:00Z"
}"#,
            &["contact:uuid", "contacts:acme"],
            &["contactId"],
        ),
        // Not of the contract: ours.
        row::<ContactTyping>(
            r#"{
  "contactId": "uuid",
  "whatsappAccountId": "account",
  "isTyping": true,
  "kind": "recording",
  "timestamp": "2025-11-05T10:00:00Z"
}"#,
            &["whatsapp:account", "contact:uuid"],
            &["contactId", "whatsappAccountId", "isTyping"],
        ),
        row::<ContactDeleted>(
            r#"{
  "contactId": "uuid",
  "timestamp": "2025-11-05T10:00:00Z"
}"#,
            &["contact:uuid", "contacts:acme"],
            &["contactId"],
        ),
        row::<FlowStarted>(
            r#"{
  "flowId": "uuid",
  "executionId": "uuid",
  "timestamp": "2025-11-05T10:00:00Z"
}"#,
            &["flow:uuid", "team:acme"],
            &["flowId", "executionId"],
        ),
        row::<FlowCompleted>(
            r#"{
  "flowId": "uuid",
  "executionId": "uuid",
  "result": {
    "status": "Completed",
    "steps": 5
  },
  "timestamp": "2025-11-05T10:00:00Z"
}"#,
            &["flow:uuid", "team:acme"],
            &["flowId", "executionId", "result.status"],
        ),
        row::<FlowFailed>(
            r#"{
  "flowId": "uuid",
  "executionId": "uuid",
  "error": "Error message",
  "timestamp": "2025-11-05T10:00:00Z"
}"#,
            &["flow:uuid", "team:acme"],
            &["flowId", "executionId"],
        ),
        row::<SystemNotification>(
            r#"{
  "notification": {
    "type": "info",
    "title": "Notification Title",
    "message": "Notification message",
    "action": {
      "label": "View Details",
      "url": "/path/to/resource"
    }
  },
  "timestamp": "2025-11-05T10:00:00Z"
}"#,
            &["team:acme"],
            &["notification", "notification.type"],
        ),
        row::<TeamActivity>(
            r#"{
  "activity": {
    "userId": "uuid",
    "userName": "John Doe",
    "action": "created_campaign",
    "resource": "Campaign Name",
    "metadata": {}
  },
  "timestamp": "2025-11-05T10:00:00Z"
}"#,
            &["team:acme"],
            &["activity", "activity.userId"],
        ),
    ]
}
