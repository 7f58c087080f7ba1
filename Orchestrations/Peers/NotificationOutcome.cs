namespace Librarian.Orchestrations.Peers;

/// <summary>What a source's answer to a notification means.</summary>
internal enum NotificationOutcome
{
    /// <summary>The source knows the outcome, or has definitely refused the notification.</summary>
    Notified,

    /// <summary>The source may know already; its status decides.</summary>
    Ambiguous,

    /// <summary>The source failed on this transfer.</summary>
    Failed,

    /// <summary>The source accepts no notifications now.</summary>
    Away,
}
