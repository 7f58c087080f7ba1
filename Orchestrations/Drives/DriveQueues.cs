namespace Librarian.Orchestrations.Drives;

public static class DriveQueues
{
    /// <summary>Work on plugged drives. The queue runs about as many activities at a time as drives are likely to be plugged in.</summary>
    public const string Media = "drives";
}
