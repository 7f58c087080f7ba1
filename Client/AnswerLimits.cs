using Librarian.Client.Wire;

namespace Librarian.Client;

/// <summary>
/// The most bytes of a response that the client reads, by route: several times the largest response of a well-behaved site. The client
/// rejects a longer response and stops reading, because an endless one must not exhaust this process's memory.
/// </summary>
internal static class AnswerLimits
{
    /// <summary>A reason, a remedy and the ids of a batch. The client cuts a proxy's error page here.</summary>
    internal const int Failure = 1 << 20;

    /// <summary>An orchestration's history with its inputs and outputs, or a page of orchestrations.</summary>
    internal const long Orchestrations = 256L << 20;

    /// <summary>State of a data batch: one bit and perhaps a generation for each segment.</summary>
    internal const long DataBatch = 64L << 20;

    /// <summary>A manifest or receipt, which is written to a file: 200 bytes for each file and member.</summary>
    internal const long Download = 64L << 30;

    private const long Small = 64 << 10;
    private const long Usual = 1 << 20;
    private const long Batch = 32 << 20;
    private const long List = 256L << 20;

    /// <summary>The limit for a route below <c>api/v2</c>.</summary>
    internal static long Of(string route) =>
        route switch
        {
            Routes.Ping or Routes.PingLogged or Routes.PingAdmin or DriveRoutes.Key => Small,
            Routes.CloneBatchStage
            or Routes.CheckinStatus
            or Routes.CheckinUpdate
            or DriveRoutes.Delivered
            or DriveRoutes.ArrivalFiles
            or DriveRoutes.List => Batch,
            Routes.SearchFile
            or Routes.SearchError
            or Routes.SearchInstanceLocal
            or Routes.SearchInstanceRemote
            or Routes.AdminStoresManifest => List,
            _ => Usual,
        };
}
