using Librarian.Domain.Catalog;
using Librarian.Orchestrations.Drives;
using Librarian.Tests.TestKit;
using Librarian.Tests.TestKit.Upstream;
using Microsoft.EntityFrameworkCore;

namespace Librarian.Tests.Functions.Peers;

/// <summary>Reports on an ingested drive to a Python source, which has no call for a whole drive.</summary>
public sealed class DriveReportTests(PostgresServer server)
{
    /// <summary>
    /// What only a person or time can mend says nothing about a file: a lost registration, a proxy's answer, an error of the source.
    /// </summary>
    [Theory]
    [InlineData(400, """{"reason":"Could not find librarian testsite.","suggested_remedy":""}""", true)]
    [InlineData(404, "<h1>Not Found</h1>", true)]
    [InlineData(502, "<h1>Bad Gateway</h1>", false)]
    public async Task Report_AnswerThatConcernsNoFile_IsRepeatedUntilTheSourceAcceptsIt(int status, string body, bool needsPerson)
    {
        await using var fixture = await PeerFixture.CreateAsync(DatabaseKind.Sqlite, server);
        var input = await IngestedAsync(fixture);
        fixture.Peer.Interfere = request => Task.FromResult(request.Path == "clone/complete" ? new WireAnswer(status, body) : null);

        var refused = await fixture.RunAsync<ReportDriveBatch, IncomingDriveInput, ReportStep>(input);

        Assert.Equal((false, false, false), (refused.MayGoOn, refused.IsReachable, refused.IsOver));
        Assert.False(await IsReportedAsync(fixture));
        Assert.Equal(needsPerson ? ["callback aaa"] : [], (await fixture.ErrorsAsync()).Select(e => e.Caller));

        fixture.Peer.Interfere = null;
        Assert.True((await fixture.RunAsync<ReportDriveBatch, IncomingDriveInput, ReportStep>(input)).MayGoOn);
        Assert.True(await IsReportedAsync(fixture));
        Assert.All(await fixture.ErrorsAsync(), e => Assert.True(e.Cleared));
    }

    private static async Task<IncomingDriveInput> IngestedAsync(PeerFixture fixture)
    {
        fixture.Peer.Outgoing[1] = new UpstreamTransfer
        {
            Id = 1,
            Name = "f",
            Size = 11,
            Checksum = PeerFixture.HelloSum,
            Status = 1,
        };
        await using var db = fixture.Site.Catalog.Open();
        var drive = new IncomingDrive
        {
            DriveId = Guid.NewGuid(),
            Trip = 1,
            Name = "d",
            Source = "aaa",
            MountPath = "/none",
            DataPath = "/none",
            IsUpstream = true,
            ManifestSha256 = new string('0', 64),
            State = IncomingDriveState.Ingested,
            StateSince = DateTime.UtcNow,
            Files = 1,
            Bytes = 11,
        };
        db.IncomingDrives.Add(drive);
        await db.SaveChangesAsync();
        db.IncomingDriveFiles.Add(
            new IncomingDriveFile
            {
                IncomingDriveId = drive.Id,
                FileName = "f",
                Checksum = PeerFixture.HelloSum,
                OutgoingTransferId = 1,
                Outcome = DriveFileOutcome.Stored,
                StoreId = 1,
            }
        );
        await db.SaveChangesAsync();
        return new IncomingDriveInput(drive.Id);
    }

    private static async Task<bool> IsReportedAsync(PeerFixture fixture)
    {
        await using var db = fixture.Site.Catalog.Open();
        return (await db.IncomingDriveFiles.AsNoTracking().SingleAsync()).Reported;
    }
}
