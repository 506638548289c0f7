// @ts-check
/**
 * The events of the contract with its own example payloads.
 *
 * Where its example lists alternatives (`"Connected|Connecting|..."`) there is one payload for each. The one change: a
 * QR code's `expiresAt` lies in the future, because an expired code is shown to nobody. `typing:indicator` is not
 * here: only the server makes it, of what clients say.
 */

const timestamp = '2025-11-05T10:00:00Z';

const inbound = (/** @type {string} */ type) => ({
  message: {
    id: 'uuid',
    contactId: 'uuid',
    whatsappAccountId: 'uuid',
    direction: 'Inbound',
    type,
    content: 'Message content',
    mediaUrl: 'https://...',
    createdAt: '2025-11-05T10:00:00Z',
  },
  timestamp,
});

const status = (/** @type {string} */ value) => ({
  messageId: 'uuid',
  status: value,
  contactId: 'uuid',
  whatsappAccountId: 'uuid',
  timestamp,
});

const connection = (/** @type {string} */ value) => ({
  accountId: 'uuid',
  status: value,
  message: 'Status message',
  timestamp,
});

const notification = (/** @type {string} */ type) => ({
  notification: {
    type,
    title: 'Notification Title',
    message: 'Notification message',
    action: { label: 'View Details', url: '/path/to/resource' },
  },
  timestamp,
});

/** Every room that the ids of the examples lead to. */
export const EXAMPLE_ROOMS = ['whatsapp:uuid', 'contact:uuid', 'campaign:uuid', 'flow:uuid'];

/**
 * In an order in which each event finds its audience: what says only `messageId` comes after its message.
 *
 * @type {Array<{ event: string, data: Record<string, any>, room: string }>}
 */
export const EXAMPLES = [
  {
    event: 'whatsapp:qr:generated',
    room: 'whatsapp:uuid:link',
    data: {
      accountId: 'uuid',
      qrCode: 'base64-qr-code-string',
      expiresAt: new Date(Date.now() + 120_000).toISOString(),
      timestamp,
    },
  },
  {
    event: 'whatsapp:ready',
    room: 'whatsapp:uuid',
    data: {
      accountId: 'uuid',
      accountInfo: { phoneNumber: '1234567890', displayName: 'Business Name' },
      timestamp,
    },
  },
  ...['Connected', 'Connecting', 'Disconnected', 'Failed', 'Reconnecting'].map((value) => ({
    event: 'whatsapp:connection:status',
    room: 'whatsapp:uuid',
    data: connection(value),
  })),
  {
    event: 'whatsapp:disconnected',
    room: 'whatsapp:uuid',
    data: { accountId: 'uuid', reason: 'Disconnection reason', timestamp },
  },
  ...['Queued', 'Sent', 'Delivered', 'Read', 'Failed'].map((value) => ({
    event: 'message:status:update',
    room: 'whatsapp:uuid',
    data: status(value),
  })),
  ...['Text', 'Image', 'Video', 'Audio', 'Document'].map((value) => ({
    event: 'message:received',
    room: 'contact:uuid',
    data: inbound(value),
  })),
  {
    event: 'message:sent',
    room: 'whatsapp:uuid',
    data: {
      message: {
        id: 'uuid',
        contactId: 'uuid',
        whatsappAccountId: 'uuid',
        direction: 'Outbound',
        type: 'Text',
        content: 'Message content',
        status: 'Sent',
        sentAt: '2025-11-05T10:00:00Z',
      },
      timestamp,
    },
  },
  {
    event: 'message:delivered',
    room: 'contact:uuid',
    data: { messageId: 'uuid', deliveredAt: '2025-11-05T10:00:00Z', timestamp },
  },
  {
    event: 'message:read',
    room: 'whatsapp:uuid',
    data: { messageId: 'uuid', readAt: '2025-11-05T10:00:00Z', timestamp },
  },
  {
    event: 'message:failed',
    room: 'contact:uuid',
    data: { messageId: 'uuid', error: 'Error message', timestamp },
  },
  {
    event: 'campaign:started',
    room: 'campaign:uuid',
    data: {
      campaignId: 'uuid',
      campaign: { name: 'Campaign Name', totalRecipients: 1000 },
      timestamp,
    },
  },
  {
    event: 'campaign:progress',
    room: 'campaign:uuid',
    data: {
      campaignId: 'uuid',
      progress: { sent: 500, total: 1000, percentage: 50, failed: 5 },
      timestamp,
    },
  },
  {
    event: 'campaign:completed',
    room: 'campaign:uuid',
    data: {
      campaignId: 'uuid',
      stats: {
        totalRecipients: 1000,
        sentCount: 995,
        deliveredCount: 990,
        readCount: 850,
        failedCount: 5,
        deliveryRate: 99.5,
        readRate: 85.0,
      },
      timestamp,
    },
  },
  { event: 'campaign:paused', room: 'campaign:uuid', data: { campaignId: 'uuid', timestamp } },
  { event: 'campaign:resumed', room: 'campaign:uuid', data: { campaignId: 'uuid', timestamp } },
  {
    event: 'campaign:failed',
    room: 'campaign:uuid',
    data: { campaignId: 'uuid', error: 'Error message', timestamp },
  },
  {
    event: 'contact:created',
    room: 'contact:uuid',
    data: {
      contact: { id: 'uuid', name: 'John Doe', phone: '+1234567890', email: 'john@example.com' },
      timestamp,
    },
  },
  {
    event: 'contact:updated',
    room: 'contact:uuid',
    data: {
      contactId: 'uuid',
      updates: { name: 'John Smith', email: 'john.smith@example.com' },
      timestamp,
    },
  },
  { event: 'contact:deleted', room: 'contact:uuid', data: { contactId: 'uuid', timestamp } },
  {
    event: 'flow:execution:started',
    room: 'flow:uuid',
    data: { flowId: 'uuid', executionId: 'uuid', timestamp },
  },
  {
    event: 'flow:execution:completed',
    room: 'flow:uuid',
    data: {
      flowId: 'uuid',
      executionId: 'uuid',
      result: { status: 'Completed', steps: 5 },
      timestamp,
    },
  },
  {
    event: 'flow:execution:failed',
    room: 'flow:uuid',
    data: { flowId: 'uuid', executionId: 'uuid', error: 'Error message', timestamp },
  },
  ...['info', 'warning', 'error', 'success'].map((value) => ({
    event: 'system:notification',
    room: 'team:acme',
    data: notification(value),
  })),
  {
    event: 'team:activity',
    room: 'team:acme',
    data: {
      activity: {
        userId: 'uuid',
        userName: 'John Doe',
        action: 'created_campaign',
        resource: 'Campaign Name',
        metadata: {},
      },
      timestamp,
    },
  },
];

/** The examples as what a subscriber sees, without the positions. */
export function exampleOf(/** @type {string} */ event) {
  const found = EXAMPLES.find((one) => one.event === event);
  if (found === undefined) throw new Error(`${event} is not in the contract`);
  return structuredClone(found.data);
}
