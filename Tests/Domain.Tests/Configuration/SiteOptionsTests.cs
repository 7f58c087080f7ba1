using Librarian.Domain.Configuration;
using Librarian.Tests.TestKit;

namespace Librarian.Tests.Domain.Configuration;

[Quick]
public class SiteOptionsTests
{
    public static SiteOptions Valid() =>
        new()
        {
            Name = "mountain",
            PublicBaseUrl = "http://127.0.0.1:8080",
            DataDirectory = "/var/lib/librarian",
            Stores =
            [
                new()
                {
                    Name = "main",
                    StagingPath = "/data/staging",
                    StorePath = "/data/store",
                },
            ],
            Peers = [new() { Name = "archive", Send = true }],
        };

    [Fact]
    public void Validate_CompleteOptions_Succeeds() => Assert.True(new SiteOptionsValidator().Validate(null, Valid()).Succeeded);

    public static TheoryData<string, Action<SiteOptions>, string> Mistakes() =>
        new()
        {
            { "Site:Name", o => o.Name = "a:b", "a:b" },
            { "Site:PublicBaseUrl", o => o.PublicBaseUrl = "example.org", "example.org" },
            { "Site:DataDirectory", o => o.DataDirectory = "data", "data" },
            { "Site:DataDirectory", o => o.DataDirectory = Path.Combine(AppContext.BaseDirectory, "data"), "data" },
            { "Site:AdminUser", o => o.AdminUser = "a:b", "a:b" },
            { "Site:Stores", o => o.Stores.Clear(), "(none)" },
            { "Site:Stores:0:StorePath", o => o.Stores[0].StorePath = "relative", "relative" },
            { "Site:Stores:0:StagingPath", o => o.Stores[0].StagingPath = "/data/store/staging", "/data/store/staging" },
            { "Site:Stores:0:FullFraction", o => o.Stores[0].FullFraction = -0.1, "-0.1" },
            {
                "Site:Stores:1:Name",
                o =>
                    o.Stores.Add(
                        new()
                        {
                            Name = "main",
                            StagingPath = "/b/x",
                            StorePath = "/b/y",
                        }
                    ),
                "main"
            },
            {
                "Site:Stores:1:StorePath",
                o =>
                    o.Stores.Add(
                        new()
                        {
                            Name = "second",
                            StagingPath = "/b/x",
                            StorePath = "/data/store/",
                        }
                    ),
                "/data/store/"
            },
            {
                "Site:Stores:1:StorePath",
                o =>
                    o.Stores.Add(
                        new()
                        {
                            Name = "second",
                            StagingPath = "/b/x",
                            StorePath = "/data/./store/inner",
                        }
                    ),
                "/data/./store/inner"
            },
            {
                "Site:Stores:1:StorePath",
                o =>
                    o.Stores.Add(
                        new()
                        {
                            Name = "second",
                            StagingPath = "/b/x",
                            StorePath = "/data/staging/inner",
                        }
                    ),
                "/data/staging/inner"
            },
            {
                "Site:Stores:1:StagingPath",
                o =>
                    o.Stores.Add(
                        new()
                        {
                            Name = "second",
                            StagingPath = "/data/store/x",
                            StorePath = "/b/y",
                        }
                    ),
                "/data/store/x"
            },
            { "Site:Peers:0:BatchSize", o => o.Peers[0].BatchSize = 0, "0" },
            { "Site:Peers:0:Name", o => o.Peers[0].Name = "mountain", "mountain" },
            { "Site:Peers:0:LocalRoots", o => o.Peers[0].LocalRoots.Add("x"), "x" },
            { "Site:MaxSearchResults", o => o.MaxSearchResults = 0, "0" },
            { "Site:FinishedInstanceRetention", o => o.FinishedInstanceRetention = TimeSpan.Zero, "00:00:00" },
            { "Site:FailedInstanceRetention", o => o.FailedInstanceRetention = TimeSpan.FromDays(1), "1.00:00:00" },
            { "Site:Durable:Grpc", o => o.Durable.Grpc = "hub:4001", "hub:4001" },
            { "Site:IncomingReviewAge", o => o.IncomingReviewAge = TimeSpan.FromMinutes(1), "00:01:00" },
        };

    [Theory, MemberData(nameof(Mistakes))]
    public void Validate_Mistake_NamesSettingValueAndFix(string setting, Action<SiteOptions> mistake, string value)
    {
        var options = Valid();
        mistake(options);
        var failures = new SiteOptionsValidator().Validate(null, options).Failures;
        Assert.NotNull(failures);
        var failure = Assert.Single(failures, f => f.StartsWith($"Setting {setting} is '", StringComparison.Ordinal));
        Assert.Contains(value, failure, StringComparison.Ordinal);
        Assert.Matches("': .+", failure);
    }

    [Fact]
    public void Validate_PasswordMistake_NeverShowsThePassword()
    {
        var options = Valid();
        options.AdminPassword = "geheimniß";
        Assert.DoesNotContain(
            "geheim",
            string.Concat(new SiteOptionsValidator().Validate(null, options).Failures!),
            StringComparison.Ordinal
        );
    }
}
