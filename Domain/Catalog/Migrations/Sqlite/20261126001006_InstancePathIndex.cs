using Microsoft.EntityFrameworkCore.Migrations;

#nullable disable

namespace Librarian.Domain.Catalog.Migrations.Sqlite
{
    /// <inheritdoc />
    public partial class InstancePathIndex : Migration
    {
        /// <inheritdoc />
        protected override void Up(MigrationBuilder migrationBuilder)
        {
            migrationBuilder.CreateIndex(
                name: "IX_instances_store_id_path",
                table: "instances",
                columns: new[] { "store_id", "path" });
        }

        /// <inheritdoc />
        protected override void Down(MigrationBuilder migrationBuilder)
        {
            migrationBuilder.DropIndex(
                name: "IX_instances_store_id_path",
                table: "instances");
        }
    }
}
