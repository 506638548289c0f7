//! Who there is in the demo, and what they say. Nobody here is real.

/// A WhatsApp account of the shop.
#[derive(Clone, Copy, Debug)]
pub struct ShopAccount {
    /// `whatsapp:{id}` is its room.
    pub id: &'static str,
    /// What customers see.
    pub name: &'static str,
    /// From the range that is kept for fiction.
    pub phone: &'static str,
}

/// A customer who writes.
#[derive(Clone, Copy, Debug)]
pub struct Contact {
    /// `contact:{id}` is the conversation's room.
    pub id: &'static str,
    /// The index of the account that the customer writes to.
    pub account: usize,
}

/// A campaign that runs now and then.
#[derive(Clone, Copy, Debug)]
pub struct ShopCampaign {
    /// `campaign:{id}` is its room.
    pub id: &'static str,
    /// What the team calls it.
    pub name: &'static str,
}

/// The accounts.
pub const ACCOUNTS: [ShopAccount; 2] = [
    ShopAccount {
        id: "support",
        name: "Harbor Coffee Support",
        phone: "15550100101",
    },
    ShopAccount {
        id: "sales",
        name: "Harbor Coffee Sales",
        phone: "15550100102",
    },
];

/// The customers.
pub const CONTACTS: [Contact; 6] = [
    Contact {
        id: "ana",
        account: 0,
    },
    Contact {
        id: "bruno",
        account: 0,
    },
    Contact {
        id: "chen",
        account: 0,
    },
    Contact {
        id: "divya",
        account: 0,
    },
    Contact {
        id: "emeka",
        account: 1,
    },
    Contact {
        id: "fatima",
        account: 1,
    },
];

/// The campaigns.
pub const CAMPAIGNS: [ShopCampaign; 3] = [
    ShopCampaign {
        id: "spring",
        name: "Spring blends",
    },
    ShopCampaign {
        id: "loyalty",
        name: "Tenth cup is free",
    },
    ShopCampaign {
        id: "reorder",
        name: "Time to reorder",
    },
];

/// The automations.
pub const FLOWS: [&str; 3] = ["welcome", "order-status", "out-of-office"];

pub(super) const QUESTIONS: [(&str, &str, Option<&str>); 12] = [
    ("Text", "Hi! Is the Harbor Blend back in stock?", None),
    ("Text", "Where is my order? It was due on Tuesday.", None),
    ("Text", "Can I change the delivery address?", None),
    ("Text", "Do you grind for a moka pot?", None),
    ("Text", "Thank you, it arrived this morning!", None),
    ("Text", "Could you send the invoice again, please?", None),
    ("Text", "What are your opening hours on Sunday?", None),
    ("Text", "I would like two more bags of the decaf.", None),
    (
        "Image",
        "One of the bags is torn",
        Some("https://media.example.com/torn-bag.jpg"),
    ),
    (
        "Audio",
        "Voice message, 0:14",
        Some("https://media.example.com/voice-14s.ogg"),
    ),
    (
        "Document",
        "purchase-order.pdf",
        Some("https://media.example.com/purchase-order.pdf"),
    ),
    (
        "Video",
        "The grinder makes this noise",
        Some("https://media.example.com/grinder.mp4"),
    ),
];

pub(super) const ANSWERS: [&str; 10] = [
    "Good morning! It is back from Thursday on. Shall I keep a bag for you?",
    "It left our warehouse yesterday and should be with you tomorrow.",
    "Of course. What is the new address?",
    "We do: a bit coarser than for espresso.",
    "You are welcome. Enjoy!",
    "Here it is. Tell me if anything is missing.",
    "On Sundays from nine to two.",
    "Done: two bags of decaf, same address as last time.",
    "I am sorry about that. A new one is on its way, free of charge.",
    "Let me ask a colleague, I will be right back.",
];

pub(super) const TEAM: [(&str, &str); 4] = [
    ("user-1", "Grace Miller"),
    ("user-2", "Hugo Silva"),
    ("user-3", "Ines Weber"),
    ("user-4", "Jonas Berg"),
];

pub(super) const ACTIVITIES: [(&str, &str); 6] = [
    ("created_campaign", "Spring blends"),
    ("assigned_conversation", "Ana"),
    ("closed_conversation", "Bruno"),
    ("edited_flow", "order-status"),
    ("exported_contacts", "Newsletter"),
    ("added_note", "Divya"),
];

pub(super) const NOTIFICATIONS: [(&str, &str, &str, &str); 4] = [
    (
        "info",
        "Template approved",
        "\"order_shipped\" can be sent from now on",
        "/templates",
    ),
    (
        "success",
        "Import finished",
        "214 contacts were imported",
        "/contacts",
    ),
    (
        "warning",
        "Message quota",
        "80 percent of today's messages are used",
        "/settings/quota",
    ),
    (
        "error",
        "Webhook failed",
        "The shop system did not answer",
        "/settings/webhooks",
    ),
];

pub(super) const NAMES: [(&str, &str); 8] = [
    ("Karim", "Haddad"),
    ("Lena", "Novak"),
    ("Mateo", "Rossi"),
    ("Nadia", "Petrova"),
    ("Omar", "Farouk"),
    ("Priya", "Nair"),
    ("Quentin", "Dubois"),
    ("Rosa", "Alvarez"),
];
